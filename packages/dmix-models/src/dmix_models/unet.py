"""The DDPM UNet of guided-diffusion (Dhariwal & Nichol 2021, "Diffusion Models Beat GANs"), key for key.

Modules stand in their `nn.Sequential` where guided-diffusion has them, so that its weights load as they are.
Its weights are in channels_last memory, and so is every activation from the first convolution on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal, Protocol, Self, TypeVar, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field, model_validator
from torch import Tensor, nn

from dmix_core.backends import Network
from dmix_core.errors import DenoiserError

from . import unet_weights
from .networks import NetworkConfig, Shapes

QkvOrder = Literal["legacy", "new"]
Width = Annotated[int, Field(gt=0, le=8192)]
Blocks = Annotated[int, Field(gt=0, le=32)]
Factor = Annotated[float, Field(gt=0, le=64)]
LEVELS = 12  # at most
MOST_CHANNELS = 8192  # of a level

# guided-diffusion's two orders of the 3C channels that the attention's projection makes
QKV_LAYOUT: dict[QkvOrder, str] = {
    "legacy": "b (heads three c) h w -> three b heads (h w) c",
    "new": "b (three heads c) h w -> three b heads (h w) c",
}


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
        from .unet_inference import UNetInference

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


class Stage(nn.ModuleList):
    """Layers in a row; the residual blocks among them also hear the time."""

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        for layer in self:
            h = layer(h, emb) if isinstance(layer, ResBlock) else layer(h)
        return h


class ResBlock(nn.Module):
    """norm, SiLU, (resample,) conv; the time; norm, SiLU, dropout, conv; plus the (resampled) input."""

    def __init__(self, config: UNetConfig, width: int, out: int, resample: nn.Module | None = None) -> None:
        super().__init__()
        self.resample = resample or nn.Identity()
        self.in_layers = nn.Sequential(norm(config, width), nn.Sequential(SiLU(), self.resample), conv3x3(width, out))
        self.emb_layers = nn.Sequential(  # the first is SiLU, which UNet.forward does once for all blocks
            nn.Identity(), nn.Linear(4 * config.model_channels, 2 * out if config.scale_shift_norm else out)
        )
        self.out_layers = nn.Sequential(
            norm(config, out), SiLU(), nn.Dropout(config.dropout), zeroed(conv3x3(out, out))
        )
        self.skip_connection = nn.Identity() if width == out else nn.Conv2d(width, out, 1)
        self.scale_shift_norm = config.scale_shift_norm

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers(x)
        emb = self.emb_layers(emb)
        out_norm, silu, dropout, conv = self.out_layers
        if self.scale_shift_norm:
            h = scale_shift(cast(nn.GroupNorm, out_norm), h, emb)
        else:
            h = out_norm(h + emb[..., None, None])
        return conv(dropout(silu(h))) + self.skip_connection(self.resample(x))


class Attention(nn.Module):
    """Self-attention over all pixels, added to its input."""

    def __init__(self, config: UNetConfig, width: int, up: bool = False) -> None:
        super().__init__()
        self.heads = config.heads(width, up)
        self.layout = QKV_LAYOUT[config.qkv_order]
        self.norm = norm(config, width)
        self.qkv = PixelLinear(width, 3 * width, 1)
        self.proj_out = zeroed(PixelLinear(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.proj_out(self.attend(self.qkv(self.norm(x))))

    def attend(self, qkv: Tensor) -> Tensor:
        """Queries, keys and values (B, 3C, h, w) of all pixels -> (B, C, h, w)."""
        q, k, v = rearrange(qkv, self.layout, three=3, heads=self.heads)
        h = F.scaled_dot_product_attention(q, k, v)
        return rearrange(h, "b heads (h w) c -> b (heads c) h w", h=qkv.shape[2])


class PixelLinear(nn.Conv1d):
    """A linear map of every pixel's channels: guided-diffusion's weight shape, the faster 2-D kernel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[..., None], self.bias)


class SiLU(nn.Module):
    """SiLU of a fresh tensor, overwritten where no gradient will ask for it."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x, inplace=not torch.is_grad_enabled())


class Downsample(nn.Module):
    """Halve the sides with a strided convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Double the sides, then convolve."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv3x3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.enlarge(x))

    @staticmethod
    def enlarge(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


def downsample(config: UNetConfig, width: int) -> nn.Module:
    return ResBlock(config, width, width, nn.AvgPool2d(2)) if config.resblock_updown else Downsample(width)


def upsample(config: UNetConfig, width: int) -> nn.Module:
    nearest = nn.Upsample(scale_factor=2.0, mode="nearest")
    return ResBlock(config, width, width, nearest) if config.resblock_updown else Upsample(width)


def attention(config: UNetConfig, level: int, up: bool = False) -> Iterator[nn.Module]:
    if 2**level in config.attention_downsamples:
        yield Attention(config, config.widths[level], up)


def norm(config: UNetConfig, width: int) -> nn.GroupNorm:
    return nn.GroupNorm(config.norm_groups, width)


def scale_shift(group_norm: nn.GroupNorm, h: Tensor, emb: Tensor) -> Tensor:
    """(1 + scale) * group_norm(h) + shift, with scale and shift (B, C), or (1, C) for the whole batch."""
    if emb.shape[0] > 1:  # len() would fix the number in an exported graph
        scale, shift = split(emb)
        return group_norm(h) * scale + shift
    weight, bias = folded(group_norm, emb)
    return F.group_norm(h, group_norm.num_groups, weight, bias, group_norm.eps)


class Affine(Protocol):
    """What has a weight and a bias (C,)."""

    weight: Tensor
    bias: Tensor


def split(emb: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2C) -> what is multiplied and what is added after a norm, (B, C, 1, 1)."""
    scale, shift = emb[..., None, None].chunk(2, dim=1)
    return 1 + scale, shift


def folded(group_norm: Affine, emb: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias (C,) of the group norm with the scale and shift of emb (1, 2C) in them."""
    scale, shift = emb[0].chunk(2)
    return group_norm.weight * (1 + scale), group_norm.bias * (1 + scale) + shift


def conv3x3(width: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(width, out, 3, padding=1)


M = TypeVar("M", bound=nn.Module)


def zeroed(module: M) -> M:
    """Start as the zero function: at first every residual branch is silent (Ho et al. 2020)."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def channels_last(module: M) -> M:
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def time_embedding(times: Tensor, channels: int) -> Tensor:
    """(B,) -> (B, channels): cosines, then sines, of wavelengths 2 pi to 20000 pi (Vaswani et al. 2017)."""
    half = channels // 2
    exponents = torch.arange(half, device=times.device, dtype=torch.float32) / half
    angles = times.float()[:, None] * torch.exp(-math.log(10000) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
