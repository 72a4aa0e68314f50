"""Denoising diffusion UNets for dmix: networks, checkpoints, training, data, and a bundled pair of models."""

from .checkpoint import ModelCard, bundled, load, save
from .config import ModelConfig, NoiseConfig, Variance
from .denoiser import NetworkDenoiser, split_variance
from .importers import import_guided
from .unet import UNet, UNetConfig
from .weights import CheckpointError

__all__ = [
    "CheckpointError",
    "ModelCard",
    "ModelConfig",
    "NetworkDenoiser",
    "NoiseConfig",
    "UNet",
    "UNetConfig",
    "Variance",
    "bundled",
    "import_guided",
    "load",
    "save",
    "split_variance",
]
