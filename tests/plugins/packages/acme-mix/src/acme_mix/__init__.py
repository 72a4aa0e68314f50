"""One of each kind."""

import json
from dataclasses import dataclass

import torch

from dmix_core import Denoiser, Descent, ExportWriter, NoiseSchedule, Prediction, Spec
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


@dataclass(frozen=True)
class Sure:
    """The clean prediction, noised anew; it forgets the state."""

    def init(self, x_t):
        return None

    def step(self, noise, x_t, prediction, z, t, s, state):
        return noise.diffuse(prediction.clean, 0, s, z), state


class Flat:
    """A denoiser that always sees one grey: `argument`, from -1 to 1."""

    noise = NoiseSchedule.cosine(200)
    spec = Spec((8, 8), 3)

    def __init__(self, argument: str | None = None, *, device: str = "cpu", dtype: str = "float32", shift: float = 0.0):
        self.grey = float(argument or 0) + shift

    def __call__(self, x_t, t):
        return Prediction(torch.full_like(x_t, self.grey))


@dataclass(frozen=True, eq=False)
class Lean:
    """Leans to where the other denoiser leads."""

    denoiser: Denoiser
    other: Denoiser
    share: float = 0.5

    spec = property(lambda self: self.denoiser.spec)
    noise = property(lambda self: self.denoiser.noise)

    def __call__(self, x_t, t):
        clean = torch.lerp(self.denoiser(x_t, t).clean, self.other(x_t, t).clean, self.share)
        return Prediction(clean)


class Bright:
    """Predicts how likely it is that an image is bright."""

    def __init__(self, argument: str | None = None, *, device: str = "cpu"):
        self.steepness = float(argument or 1)

    def __call__(self, x_t, t, noise):
        return torch.nn.functional.logsigmoid(self.steepness * x_t.mean((1, 2, 3)))


@dataclass(frozen=True)
class Means:
    """The mean of every image, in means.json."""

    precision: int = 3

    def open(self, folder, run):
        return MeansWriter(folder / "means.json", run.recipe["seed"], self.precision)


class MeansWriter(ExportWriter):
    def __init__(self, path, seed, precision):
        self.path, self.seed, self.precision, self.means = path, seed, precision, []

    def add(self, sample):
        self.means.append(round(float(sample.image.mean()), self.precision))
        return []

    def close(self):
        self.path.write_text(json.dumps({"means": self.means, "seed": self.seed}))
        return [self.path]


@hookimpl
def dmix_merge_rules():
    return {"average": Average}


@hookimpl
def dmix_timestep_schedules():
    return {"yoyo": Yoyo}


@hookimpl
def dmix_steppers():
    return {"sure": Sure}


@hookimpl
def dmix_denoisers():
    return {"flat": Flat}


@hookimpl
def dmix_wrappers():
    return {"lean": Lean}


@hookimpl
def dmix_classifiers():
    return {"bright": Bright}


@hookimpl
def dmix_exporters():
    return {"means": Means}
