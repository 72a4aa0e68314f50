"""Compose two or more diffusion models into one image while they denoise, with the segmentation mask along with it."""

from .composer import Composer, Step
from .composition import Composition, RegionResult
from .errors import DmixError
from .geometry import Box
from .merge import HardMask
from .noise import NoiseSchedule
from .protocols import (
    BatchedDenoiser,
    Classifier,
    Codec,
    Denoiser,
    Exporter,
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
from .region import BoxRegion
from .steppers import Ancestral
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
    "Denoiser",
    "Descent",
    "DmixError",
    "Exporter",
    "HardMask",
    "Layer",
    "LocalMergeRule",
    "MergeRule",
    "Merged",
    "NoiseSchedule",
    "Prediction",
    "Region",
    "RegionResult",
    "Spec",
    "StatefulDenoiser",
    "Step",
    "Stepper",
    "StillImage",
    "TailResampling",
    "TimestepSchedule",
    "Wrapper",
]
