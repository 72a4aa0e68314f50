"""Compose two or more diffusion models into one image while they denoise, with the segmentation mask along with it."""

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
