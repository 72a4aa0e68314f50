"""Compose two or more diffusion models into one image while they denoise, with the segmentation mask along with it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .composer import Composer
    from .composition import Composition, RegionResult
    from .errors import DmixError
    from .exchange import Exchange
    from .exporters import Exporter, ExportWriter, RunInfo
    from .geometry import Box, Size
    from .mattes import blend, stack
    from .merge import HardMask
    from .noise import NoiseSchedule, PredictionType
    from .protocols import (
        BatchedDenoiser,
        Classifier,
        Codec,
        Denoiser,
        Layer,
        LocalMergeRule,
        Merged,
        MergeRule,
        Prediction,
        Region,
        Spec,
        StatefulDenoiser,
        Stepper,
        TimestepSchedule,
    )
    from .quick import from_models
    from .recipe import Recipe
    from .region import BoxRegion
    from .registry import Registry
    from .run import Run, samples_of
    from .sample import Sample
    from .step import Step
    from .steppers import Ancestral, Ddim
    from .still import StillImage
    from .timesteps import Descent, TailResampling
    from .wrapper import Wrapper

__all__ = [
    "Ancestral",
    "BatchedDenoiser",
    "Box",
    "BoxRegion",
    "Classifier",
    "Codec",
    "Composer",
    "Composition",
    "Ddim",
    "Denoiser",
    "Descent",
    "DmixError",
    "Exchange",
    "ExportWriter",
    "Exporter",
    "HardMask",
    "Layer",
    "LocalMergeRule",
    "MergeRule",
    "Merged",
    "NoiseSchedule",
    "Prediction",
    "PredictionType",
    "Recipe",
    "Region",
    "RegionResult",
    "Registry",
    "Run",
    "RunInfo",
    "Sample",
    "Size",
    "Spec",
    "StatefulDenoiser",
    "Step",
    "Stepper",
    "StillImage",
    "TailResampling",
    "TimestepSchedule",
    "Wrapper",
    "blend",
    "from_models",
    "samples_of",
    "stack",
]

_ELSEWHERE = {
    "Ancestral": "steppers",
    "Box": "geometry",
    "BoxRegion": "region",
    "Composer": "composer",
    "Exchange": "exchange",
    "Composition": "composition",
    "Ddim": "steppers",
    "Descent": "timesteps",
    "DmixError": "errors",
    "ExportWriter": "exporters",
    "Exporter": "exporters",
    "HardMask": "merge",
    "NoiseSchedule": "noise",
    "PredictionType": "noise",
    "Recipe": "recipe",
    "RegionResult": "composition",
    "Registry": "registry",
    "Run": "run",
    "RunInfo": "exporters",
    "Sample": "sample",
    "Size": "geometry",
    "Step": "step",
    "StillImage": "still",
    "TailResampling": "timesteps",
    "Wrapper": "wrapper",
    "blend": "mattes",
    "from_models": "quick",
    "samples_of": "run",
    "stack": "mattes",
}
"""The module of each public name that is not in protocols.py."""


def __getattr__(name: str) -> Any:
    """A public name, imported when it is asked for: modules that need no torch can be had without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ELSEWHERE.get(name, 'protocols')}", __name__), name)
