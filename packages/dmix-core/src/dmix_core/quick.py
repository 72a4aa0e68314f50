"""The shortest way from names and pictures to a composer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .backends import Compute
from .builtins import dmix_steppers
from .composer import Composer
from .devices import check_device
from .errors import RecipeError, did_you_mean
from .exchange import Exchange
from .geometry import Box, Size
from .images import Picture
from .loading import Loader
from .merge import HardMask
from .naming import free_name, short_name
from .protocols import Denoiser, Region
from .region import BoxRegion
from .registry import Registry
from .rule_presets import PRESETS, PresetName
from .still import StillImage
from .timesteps import TailResampling

Model = Denoiser | Picture
"""A denoiser; a reference as `Registry.denoiser` takes it, such as the name of a model or the path of a picture; or a
picture as `StillImage.of` takes it."""
PlacedModel = tuple[Model, tuple[int, int, int, int] | None]
"""A model and its box (x, y, width, height) on the canvas; None: the centre, at its own size."""


def from_models(
    background: Model,
    objects: Sequence[Model | PlacedModel] = (),
    *,
    size: Size | None = None,
    registry: Registry | Loader | None = None,
    device: torch.device | str = "cpu",
    dtype: str = "float32",
    preset: PresetName | None = None,
    **settings: Any,
) -> Composer:
    """A composer of models by their names, and of pictures.

        composer = from_models("photo.png", objects=[("defects:blowhole", (40, 30, 64, 64))], steps=100)
        composer.compose(samples=4, seed=0).save("out")

    Args:
        background: what fills the canvas.
        objects: from bottom to top, each with its box, or alone for the centre. Regions are called after their models,
            with a number where two have the same name.
        size: (H, W) of the canvas, over which the background is stretched; None: the background's own size.
        registry: where names come from; None: everything that is installed.
        device: where networks compute.
        dtype: in which arithmetic: "float32" or "bfloat16".
        preset: a name in `presets.PRESETS`, whose rules take the place of Composer's defaults.
        settings: other arguments of Composer, which win over the preset.

    Raises:
        DmixError: what cannot be found or read, or does not fit, before any network is called.
    """
    compute = Compute(check_device(str(device)), dtype)
    loader = registry if isinstance(registry, Loader) else Loader(registry)
    bottom = BoxRegion(_denoiser(background, loader, compute), size and Box(0, 0, size[1], size[0]), "background")
    regions: list[Region] = [bottom]
    canvas = size or bottom.denoiser.spec.picture.size
    rules, listening = _rules(preset, bottom.denoiser.spec.still)
    for z, given in enumerate(objects, 1):
        model, box = given if isinstance(given, tuple) else (given, None)
        name = free_name(_name(model), [region.name for region in regions])
        denoiser = _denoiser(model, loader, compute)
        place = Box(*box) if box else Box.centred(denoiser.spec.picture.size, canvas)
        regions.append(BoxRegion(denoiser, place, name, z, listening))
    return Composer(regions, size=size, **{**rules, **settings}).to(device)


def _rules(name: PresetName | None, photograph: bool) -> tuple[dict[str, Any], float | None]:
    """Arguments of Composer, and from when on objects listen."""
    if name is None:
        return {}, None
    if name not in PRESETS:
        known = ", ".join(PRESETS)
        raise RecipeError(f"There is no preset {name!r}; expected one of {known}.{did_you_mean(name, PRESETS)}")
    preset = PRESETS[name]
    fields = preset.fields(photograph)
    stepper = fields["stepper"]
    rules = {
        "steps": fields["steps"],
        "timesteps": TailResampling(**fields["timesteps"]["settings"]),
        "stepper": dmix_steppers()[stepper["use"]](**stepper["settings"]),
        "merge": HardMask(**fields["merge"]["settings"]),
        "merge_from": fields["merge_from"],
        "exchange": Exchange(fields["others"], fields["seams"]),
    }
    return rules, preset.listening(photograph)


def _denoiser(model: Model, loader: Loader, compute: Compute) -> Denoiser:
    if isinstance(model, str | Path):
        return loader.denoiser(str(model), compute)
    if isinstance(model, Image.Image | np.ndarray | Tensor):
        return StillImage.of(model)
    return model


def _name(model: Model) -> str:
    return short_name(str(model)) if isinstance(model, str | Path) else "object"
