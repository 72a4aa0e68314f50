"""Models of usual shape for the crops at hand."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

from dmix_core.noise import PredictionType
from dmix_core.protocols import Size
from dmix_data.datasets import Crops, has_pairs, is_grey

from .config import ModelConfig, NoiseConfig, Role, Variance
from .unet import UNetConfig

Preset = Literal["tiny", "small", "base"]
PRESETS: tuple[Preset, ...] = get_args(Preset)


def preset_model(
    role: Role,
    crops: Crops,
    name: str,
    preset: Preset = "tiny",
    variance: Variance = "learned-range",
    prediction: PredictionType = "epsilon",
    classes: Sequence[str] = (),
) -> ModelConfig:
    """A model for these crops, of about 1.3 ("tiny"), 3.4 ("small") or 18 ("base") million parameters."""
    channels = 3 + crops.mask_channels
    return ModelConfig(
        name=name,
        role=role,
        size=crops.size,
        mask_channels=crops.mask_channels,
        grey=is_grey(crops),
        classes=tuple(classes),
        pairs=has_pairs(crops),
        noise=NoiseConfig(),
        prediction=prediction,
        variance=variance,
        network=preset_unet(
            preset, crops.size, channels, 2 * channels if variance == "learned-range" else channels, len(classes)
        ),
    )


def preset_unet(preset: Preset, size: Size, in_channels: int, out_channels: int, classes: int = 0) -> UNetConfig:
    """A network that halves the grid until its shorter side is about 8, where attention looks at all of it."""
    halvings = max(1, round(math.log2(min(size) / 8)))
    width = {"tiny": 32, "small": 48, "base": 64}[preset]
    return UNetConfig(
        in_channels=in_channels,
        out_channels=out_channels,
        model_channels=width,
        num_res_blocks=2 if preset == "base" else 1,
        attention_downsamples=(2**halvings,),
        channel_mult=(*[1] * (halvings - 1), 2, 4 if preset == "base" else 2),
        num_head_channels=32,
        num_classes=classes or None,
        norm_groups=width // 16,  # with fewer than 16 channels in a group, bfloat16 is 10 times slower on a CPU
        resblock_updown=preset != "tiny",
    )
