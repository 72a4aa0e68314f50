"""Compose two or more diffusion models into one image while they denoise, with the segmentation mask along with it."""

from .composer import Composer, Step
from .composition import Composition, RegionResult
from .errors import DmixError
from .exporters import Exporter, ExportWriter, RunInfo
from .geometry import Box
from .merge import HardMask
from .noise import NoiseSchedule
from .protocols import (
    Classifier,
    Denoiser,
    Earlier,
    Layer,
    Merged,
    MergeRule,
    Prediction,
    Region,
    Spec,
    Stepper,
    TimestepSchedule,
)
from .quick import from_models
from .recipe import Recipe
from .region import BoxRegion
from .run import Run
from .sample import Sample
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
    "ExportWriter",
    "Exporter",
    "HardMask",
    "Layer",
    "MergeRule",
    "Merged",
    "NoiseSchedule",
    "Prediction",
    "Recipe",
    "Region",
    "RegionResult",
    "Run",
    "RunInfo",
    "Sample",
    "Spec",
    "Step",
    "Stepper",
    "StillImage",
    "TailResampling",
    "TimestepSchedule",
    "from_models",
]
