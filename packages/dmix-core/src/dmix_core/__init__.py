"""Compose two or more diffusion models into one image while they denoise, with the segmentation mask along with it."""

from .composer import Composer, Step
from .composition import Composition, RegionResult
from .errors import DmixError
from .geometry import Box
from .merge import HardMask
from .noise import NoiseSchedule
from .protocols import (
    Denoiser,
    Exporter,
    Layer,
    Merged,
    MergeRule,
    Prediction,
    Region,
    Spec,
    TimestepSchedule,
)
from .region import BoxRegion
from .still import StillImage
from .timesteps import Descent, TailResampling

__all__ = [
    "Box",
    "BoxRegion",
    "Composer",
    "Composition",
    "Denoiser",
    "Descent",
    "DmixError",
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
    "StillImage",
    "TailResampling",
    "TimestepSchedule",
]
