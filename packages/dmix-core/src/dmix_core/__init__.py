"""Compose two or more diffusion models into one image while they denoise, with the segmentation mask along with it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .composer import Composer, Step
    from .composition import Composition, RegionResult
    from .errors import DmixError
    from .geometry import Box
    from .merge import HardMask
    from .noise import NoiseSchedule
    from .protocols import (
        Classifier,
        Denoiser,
        Earlier,
        Exporter,
        Layer,
        Merged,
        MergeRule,
        Prediction,
        Region,
        Spec,
        Stepper,
        TimestepSchedule,
    )
    from .region import BoxRegion
    from .steppers import Ancestral
    from .still import StillImage
    from .timesteps import Descent, TailResampling

__all__ = [
    "Ancestral",
    "Box",
    "BoxRegion",
    "Classifier",
    "Composer",
    "Composition",
    "Denoiser",
    "Descent",
    "DmixError",
    "Earlier",
    "Exporter",
    "HardMask",
    "Layer",
    "MergeRule",
    "Merged",
    "NoiseSchedule",
    "Prediction",
    "Region",
    "RegionResult",
    "Spec",
    "Step",
    "Stepper",
    "StillImage",
    "TailResampling",
    "TimestepSchedule",
]

_MODULES = (
    "errors",  # which alone needs no torch
    *("composer", "composition", "geometry", "merge", "noise", "protocols", "region", "steppers", "still", "timesteps"),
)
"""Where these names are found."""


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that formats, options and `--help`, which need no torch, do not wait for it."""
    if name in __all__:
        for module in (import_module(f".{each}", __name__) for each in _MODULES):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
