"""One of each: a merge rule, a timestep schedule, a denoiser, an exporter."""

import json
from dataclasses import dataclass

import torch

from dmix_core import Descent, NoiseSchedule, Prediction, Spec
from dmix_core.hookspecs import hookimpl
from dmix_core.mattes import blend


@dataclass(frozen=True)
class Average:
    """Every region that covers a pixel gets the same share of it."""

    threshold: float = 0.5

    def __call__(self, layers, progress):
        covers = torch.stack([(layer.matte >= self.threshold).to(layer.matte.dtype) for layer in layers])
        covers[0] = 1
        return blend(layers, covers / covers.sum(0))


@dataclass(frozen=True)
class Yoyo:
    """One climb from 0 to the top and down again."""

    def __call__(self, steps):
        return [*Descent()(steps), *range(1, steps + 1), *range(steps - 1, -1, -1)]


class Flat:
    """A denoiser that always sees one grey: `argument`, from -1 to 1."""

    noise = NoiseSchedule.cosine(200)
    spec = Spec((8, 8), 3)

    def __init__(self, argument: str | None = None, *, device: str = "cpu", dtype: str = "float32"):
        self.grey = float(argument or 0)

    def __call__(self, x_t, t):
        return Prediction(torch.full_like(x_t, self.grey))


def means(precision: int = 3):
    def export(composition, folder, recipe):
        path = folder / "means.json"
        values = [round(mean, precision) for mean in composition.image.mean(dim=(1, 2, 3)).tolist()]
        path.write_text(json.dumps({"means": values, "seed": recipe["seed"]}))
        return [path]

    return export


@hookimpl
def dmix_merge_rules():
    return {"average": Average}


@hookimpl
def dmix_timestep_schedules():
    return {"yoyo": Yoyo}


@hookimpl
def dmix_denoisers():
    return {"flat": Flat}


@hookimpl
def dmix_exporters():
    return {"means": means}
