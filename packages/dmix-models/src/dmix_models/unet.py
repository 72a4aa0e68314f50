"""The DDPM UNet of guided-diffusion (Dhariwal & Nichol 2021, "Diffusion Models Beat GANs"), key for key.

Its weights are in channels_last memory, and so is every activation from the first convolution on.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from dmix_core.backends import Network
from dmix_core.errors import DenoiserError

from . import unet_weights
from .networks import NetworkConfig, Shapes
from .unet_inference import UNetInference
from .unet_layers import (
    Attention,
    QkvOrder,
    ResBlock,
    SiLU,
    Stage,
    attention,
    channels_last,
    conv3x3,
    downsample,
    norm,
    time_embedding,
    upsample,
    zeroed,
)

Width = Annotated[int, Field(gt=0, le=8192)]
Blocks = Annotated[int, Field(gt=0, le=32)]
Factor = Annotated[float, Field(gt=0, le=64)]
LEVELS = 12  # at most
MOST_CHANNELS = 8192  # of a level


class UNetConfig(NetworkConfig):
    """What the network needs to be built, in guided-diffusion's words where it has them.

    Level i works with channel_mult[i] * model_channels channels on an image downsampled by 2**i. Attention
    sits in the middle and follows every residual block at the factors in `attention_downsamples`.
    `num_head_channels` is the width of a head; None splits the channels into `num_heads` instead, and in the upward
    half into `num_heads_upsample`, if it is given. Heads and `qkv_order` leave no trace in the weights: a wrong choice
    loads and is silently wrong.
    """

    kind: Literal["unet"] = "unet"
    model_channels: Width
    num_res_blocks: Blocks = 2
    attention_downsamples: tuple[int, ...] = Field((), max_length=LEVELS)
    channel_mult: tuple[Factor, ...] = Field((1, 2, 2), min_length=1, max_length=LEVELS)
    num_heads: Width = 1
    num_heads_upsample: Width | None = None
    num_head_channels: Width | None = None
    scale_shift_norm: bool = True
    resblock_updown: bool = True
    qkv_order: QkvOrder = "new"
    norm_groups: Width = 32

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each level, finest first."""
        return tuple(int(mult * self.model_channels) for mult in self.channel_mult)

    @property
    def coarsest(self) -> int:
        """The downsampling factor of the last level; the sides of an image must be multiples of it."""
        return int(2 ** (len(self.channel_mult) - 1))

    @property
    def multiple(self) -> int:
        return self.coarsest

    def heads(self, width: int, up: bool = False) -> int:
        """Attention heads on that many channels; `up`: in the upward half of the network."""
        if self.num_head_channels:
            return width // self.num_head_channels
        return (self.num_heads_upsample if up else None) or self.num_heads

    def build(self) -> UNet:
        return UNet(self)

    def likely_cause(self, given: Shapes, expected: Shapes) -> str:
        return unet_weights.likely_cause(given, expected)

    @model_validator(mode="after")
    def _out_channels_are_one_or_two_per_input(self) -> Self:
        if self.out_channels not in (self.in_channels, 2 * self.in_channels):
            raise ValueError(
                f"out_channels is {self.out_channels}; expected in_channels = {self.in_channels}, or "
                f"{2 * self.in_channels} where the network predicts its variance as well"
            )
        return self

    @model_validator(mode="after")
    def _widths_divide_into_groups(self) -> Self:
        if self.model_channels % 2:
            raise ValueError(f"model_channels is {self.model_channels}; the time embedding needs an even number")
        for width in self.widths:
            if width > MOST_CHANNELS:
                raise ValueError(f"channel_mult makes a level of {width} channels; expected at most {MOST_CHANNELS}")
            if width == 0 or width % self.norm_groups:
                raise ValueError(
                    f"{width} channels cannot be normalised in norm_groups = {self.norm_groups} groups; "
                    "expected multiples of it at every level: try fewer groups (8 suits small networks)"
                )
        return self

    @model_validator(mode="after")
    def _attention_fits(self) -> Self:
        widths = {2**level: width for level, width in enumerate(self.widths)}
        for factor in self.attention_downsamples:
            if factor not in widths:
                raise ValueError(
                    f"attention_downsamples has {factor}; the levels of channel_mult have the factors "
                    f"{', '.join(map(str, widths))} (image size / guided-diffusion's attention_resolutions)"
                )
        for factor in {*self.attention_downsamples, self.coarsest}:
            for name in ("num_head_channels",) if self.num_head_channels else ("num_heads", "num_heads_upsample"):
                if widths[factor] % (getattr(self, name) or 1):
                    raise ValueError(
                        f"{name} = {getattr(self, name)} cannot split attention on {widths[factor]} channels; "
                        f"expected a divisor of {widths[factor]}"
                    )
        return self


class UNet(nn.Module):
    """Predicts epsilon, x0 or v of a noisy image and, for learned-range variance, as many channels again."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        base, emb = config.model_channels, 4 * config.model_channels
        self.time_embed = nn.Sequential(nn.Linear(base, emb), nn.SiLU(), nn.Linear(emb, emb))
        if config.num_classes is not None:
            self.label_emb = nn.Embedding(config.num_classes, emb)

        width = config.widths[0]
        skips = [width]
        self.input_blocks = nn.ModuleList([Stage([conv3x3(config.in_channels, width)])])
        for level, out in enumerate(config.widths):
            for _ in range(config.num_res_blocks):
                self.input_blocks.append(Stage([ResBlock(config, width, out), *attention(config, level)]))
                width = out
                skips.append(width)
            if 2**level < config.coarsest:
                self.input_blocks.append(Stage([downsample(config, width)]))
                skips.append(width)

        self.middle_block = Stage(
            [ResBlock(config, width, width), Attention(config, width), ResBlock(config, width, width)]
        )

        self.output_blocks = nn.ModuleList()
        for level, out in reversed([*enumerate(config.widths)]):
            for i in range(config.num_res_blocks + 1):
                stage = Stage([ResBlock(config, width + skips.pop(), out), *attention(config, level, up=True)])
                width = out
                if level > 0 and i == config.num_res_blocks:
                    stage.append(upsample(config, width))
                self.output_blocks.append(stage)

        self.out = nn.Sequential(norm(config, width), SiLU(), zeroed(conv3x3(width, config.out_channels)))
        channels_last(self)

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w).

        Args:
            times: (B,) counting from 0, as guided-diffusion's timesteps do; or (1,) for the whole batch,
                which is faster, because its scale and shift fold into the group norms.
            labels: (B,) or (1,) indices of classes, for a class-conditional network.
        """
        self.check(x, labels)
        emb = self.embedding(times, labels)
        h = x
        skips: list[Tensor] = []
        for stage in self.input_blocks:
            h = stage(h, emb)
            skips.append(h)
        h = self.middle_block(h, emb)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), emb)
        return self.out(h).contiguous()

    def for_inference(self) -> Network:
        """What predicts as the network does, to the bit, in less time on a CPU; it follows changes of the weights."""
        return UNetInference(self)

    def embedding(self, times: Tensor, labels: Tensor | None) -> Tensor:
        """What the residual blocks hear of the times and labels: (1 or B, 4 model_channels)."""
        emb = self.time_embed(time_embedding(times, self.config.model_channels))
        if labels is not None:
            emb = emb + self.label_emb(labels)
        return F.silu(emb)

    def check(self, x: Tensor, labels: Tensor | None) -> None:
        """Refuse what the network cannot be called with.

        Raises:
            DenoiserError: the shape of x does not fit, or labels are missing or not expected.
        """
        config = self.config
        if x.shape[1] != config.in_channels or any(side % config.coarsest for side in x.shape[2:]):
            raise DenoiserError(
                f"The network was given {tuple(x.shape)}; expected (B, {config.in_channels}, h, w) with "
                f"sides that are multiples of {config.coarsest}."
            )
        if (labels is None) != (config.num_classes is None):
            raise DenoiserError(
                f"The network was given {'no' if labels is None else 'class'} labels, but its num_classes is "
                f"{config.num_classes}: give labels to a class-conditional network, and to no other."
            )
