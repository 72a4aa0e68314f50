"""The DDPM UNet of guided-diffusion ("Diffusion Models Beat GANs", Dhariwal and Nichol 2021), with its state-dict keys.

Modules sit in `nn.Sequential`s at the places where guided-diffusion has them, so that its weights load as they are.
Activations stay in channels_last memory from the first convolution to the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self, TypeVar

import torch
import torch.nn.functional as F
from dmix_core.errors import DenoiserError
from einops import rearrange
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn

QkvOrder = Literal["legacy", "new"]
Conv = TypeVar("Conv", bound="nn.Conv1d | nn.Conv2d")


class UNetConfig(BaseModel):
    """What the network needs to be built; the names are guided-diffusion's where the meaning is.

    `channel_mult[i] * model_channels` channels work at downsampling factor 2**i; attention follows every residual block
    at the factors in `attention_downsamples`, and sits in the middle. `num_head_channels` fixes the width of a head,
    None splits the channels into `num_heads`. `qkv_order` and the heads leave no trace in the weights: a wrong choice
    loads and is silently wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: PositiveInt
    out_channels: PositiveInt
    model_channels: PositiveInt
    num_res_blocks: PositiveInt = 2
    attention_downsamples: tuple[PositiveInt, ...] = ()
    channel_mult: tuple[Annotated[float, Field(gt=0)], ...] = Field((1, 2, 2), min_length=1)
    num_heads: PositiveInt = 1
    num_head_channels: PositiveInt | None = None
    scale_shift_norm: bool = True
    resblock_updown: bool = True
    qkv_order: QkvOrder = "new"
    num_classes: PositiveInt | None = None
    dropout: float = Field(0.0, ge=0, lt=1)
    norm_groups: PositiveInt = 32

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each level, finest first."""
        return tuple(int(mult * self.model_channels) for mult in self.channel_mult)

    @property
    def coarsest(self) -> int:
        """The downsampling factor of the last level: image sides must be multiples of it."""
        return int(2 ** (len(self.channel_mult) - 1))

    def heads(self, channels: int) -> int:
        """Attention heads on that many channels."""
        return channels // self.num_head_channels if self.num_head_channels else self.num_heads

    @model_validator(mode="after")
    def _out_channels_are_one_or_two_per_input(self) -> Self:
        if self.out_channels not in (self.in_channels, 2 * self.in_channels):
            raise ValueError(
                f"out_channels is {self.out_channels}; with in_channels {self.in_channels} it must be {self.in_channels}, "
                f"or {2 * self.in_channels} where the network predicts its variance as well"
            )
        return self

    @model_validator(mode="after")
    def _channels_divide(self) -> Self:
        if self.model_channels % 2:
            raise ValueError(f"model_channels is {self.model_channels}; the time embedding needs an even number")
        for width in self.widths:
            if width == 0 or width % self.norm_groups:
                raise ValueError(
                    f"{width} channels cannot be normalised in norm_groups = {self.norm_groups} groups; choose "
                    f"model_channels and channel_mult as multiples of it, or fewer groups (8 suits small networks)"
                )
        return self

    @model_validator(mode="after")
    def _attention_fits(self) -> Self:
        factors = {2**level: width for level, width in enumerate(self.widths)}
        for factor in self.attention_downsamples:
            if factor not in factors:
                raise ValueError(
                    f"attention_downsamples has {factor}; with {len(factors)} levels in channel_mult the downsampling "
                    f"factors are {', '.join(map(str, factors))} (guided-diffusion's attention_resolutions / image size)"
                )
        for width in {factors[factor] for factor in self.attention_downsamples} | {self.widths[-1]}:
            if width % (self.num_head_channels or self.num_heads):
                split = f"heads of num_head_channels = {self.num_head_channels}" if self.num_head_channels else None
                raise ValueError(
                    f"attention on {width} channels cannot be split into {split or f'num_heads = {self.num_heads} heads'}; "
                    f"choose a divisor of {width}"
                )
        return self


class UNet(nn.Module):
    """eps, x0 or v of a noisy image, and for learned-range variance as many channels again."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        base, emb = config.model_channels, 4 * config.model_channels
        widths = config.widths
        self.time_embed = nn.Sequential(nn.Linear(base, emb), nn.SiLU(), nn.Linear(emb, emb))
        if config.num_classes is not None:
            self.label_emb = nn.Embedding(config.num_classes, emb)

        width = widths[0]
        skips = [width]
        self.input_blocks = nn.ModuleList([Stage([conv3x3(config.in_channels, width)])])
        for level, out in enumerate(widths):
            for _ in range(config.num_res_blocks):
                self.input_blocks.append(Stage([ResBlock(config, width, out), *attention(config, level)]))
                width = out
                skips.append(width)
            if level < len(widths) - 1:
                self.input_blocks.append(Stage([downsample(config, width)]))
                skips.append(width)

        self.middle_block = Stage(
            [ResBlock(config, width, width), Attention(config, width), ResBlock(config, width, width)]
        )

        self.output_blocks = nn.ModuleList()
        for level, out in reversed(list(enumerate(widths))):
            for i in range(config.num_res_blocks + 1):
                layers = [ResBlock(config, width + skips.pop(), out), *attention(config, level)]
                width = out
                if level > 0 and i == config.num_res_blocks:
                    layers.append(upsample(config, width))
                self.output_blocks.append(Stage(layers))

        self.out = nn.Sequential(norm(config, width), SiLU(), zeroed(conv3x3(width, config.out_channels)))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, in, h, w) and times (B,) -> (B, out, h, w).

        `times` counts from 0 as guided-diffusion's timesteps do. One time for the whole batch, shape (1,), is faster: the
        time's scale and shift then fold into the group norms. `labels`: (B,) or (1,) class indices of a class-conditional
        network.
        """
        self._check(x, labels)
        emb = self.time_embed(time_embedding(times, self.config.model_channels))
        if labels is not None:
            emb = emb + self.label_emb(labels)
        emb = F.silu(emb)  # every block's emb_layers begin with it

        h = x.contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for stage in self.input_blocks:
            h = stage(h, emb)
            skips.append(h)
        h = self.middle_block(h, emb)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), emb)
        return self.out(h).contiguous()

    def _check(self, x: Tensor, labels: Tensor | None) -> None:
        config = self.config
        if x.shape[1] != config.in_channels or x.shape[2] % config.coarsest or x.shape[3] % config.coarsest:
            raise DenoiserError(
                f"The network was given {tuple(x.shape)}; it takes (B, {config.in_channels}, h, w) with sides that are "
                f"multiples of {config.coarsest}."
            )
        if (labels is None) != (config.num_classes is None):
            raise DenoiserError(
                f"The network was given {'no' if labels is None else 'class'} labels, but its num_classes is "
                f"{config.num_classes}: give labels to a class-conditional network, and to no other."
            )


class Stage(nn.Sequential):
    """Layers in a row; the residual blocks among them also hear the time."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__(*layers)

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        for layer in self:
            h = layer(h, emb) if isinstance(layer, ResBlock) else layer(h)
        return h


class ResBlock(nn.Module):
    """norm, SiLU, (resample,) conv; time; norm, SiLU, dropout, conv; plus the (resampled) input."""

    def __init__(self, config: UNetConfig, width: int, out: int, resample: nn.Module | None = None) -> None:
        super().__init__()
        self.resample = resample or nn.Identity()
        self.in_layers = nn.Sequential(
            norm(config, width), nn.Sequential(SiLU(), self.resample), conv3x3(width, out)
        )
        emb_out = 2 * out if config.scale_shift_norm else out
        self.emb_layers = nn.Sequential(nn.Identity(), nn.Linear(4 * config.model_channels, emb_out))
        self.out_layers = nn.Sequential(
            norm(config, out), SiLU(), nn.Dropout(config.dropout), zeroed(conv3x3(out, out))
        )
        self.skip_connection = nn.Identity() if width == out else nn.Conv2d(width, out, 1)
        self.scale_shift_norm = config.scale_shift_norm

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers(x)
        emb = self.emb_layers(emb)
        out_norm, rest = self.out_layers[0], self.out_layers[1:]
        if self.scale_shift_norm:
            scale, shift = emb.chunk(2, dim=1)
            h = scaled_norm(h, out_norm, scale, shift)
        else:
            h = out_norm(h + emb[:, :, None, None])
        return rest(h) + self.skip_connection(self.resample(x))


class Attention(nn.Module):
    """Self-attention over all pixels, added to its input."""

    # guided-diffusion's two layouts of the 3C channels that the projection makes
    LAYOUT = {
        "legacy": "b (heads three c) h w -> three b heads (h w) c",
        "new": "b (three heads c) h w -> three b heads (h w) c",
    }

    def __init__(self, config: UNetConfig, width: int) -> None:
        super().__init__()
        self.heads = config.heads(width)
        self.layout = self.LAYOUT[config.qkv_order]
        self.norm = norm(config, width)
        self.qkv = PixelLinear(width, 3 * width, 1)
        self.proj_out = zeroed(PixelLinear(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(self.norm(x)), self.layout, three=3, heads=self.heads)
        h = F.scaled_dot_product_attention(q, k, v)
        h = rearrange(h, "b heads (h w) c -> b (heads c) h w", h=x.shape[2])
        return x + self.proj_out(h)


class PixelLinear(nn.Conv1d):
    """A linear map of every pixel's channels, stored as guided-diffusion stores it and computed by the faster 2-D kernel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[..., None], self.bias)


class SiLU(nn.Module):
    """SiLU that overwrites its input, always a fresh one here, where no gradient will ask for it."""

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
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


def downsample(config: UNetConfig, width: int) -> nn.Module:
    return ResBlock(config, width, width, nn.AvgPool2d(2)) if config.resblock_updown else Downsample(width)


def upsample(config: UNetConfig, width: int) -> nn.Module:
    return ResBlock(config, width, width, nn.Upsample(scale_factor=2)) if config.resblock_updown else Upsample(width)


def attention(config: UNetConfig, level: int) -> Iterator[nn.Module]:
    if 2**level in config.attention_downsamples:
        yield Attention(config, config.widths[level])


def norm(config: UNetConfig, width: int) -> nn.GroupNorm:
    return nn.GroupNorm(config.norm_groups, width)


def conv3x3(width: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(width, out, 3, padding=1)


def zeroed(conv: Conv) -> Conv:
    """Start as the zero function: at first every residual branch is silent (Ho et al. 2020)."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv


def scaled_norm(h: Tensor, group_norm: nn.GroupNorm, scale: Tensor, shift: Tensor) -> Tensor:
    """(1 + scale) * group_norm(h) + shift; scale and shift are (B, C), or (1, C) for the whole batch."""
    if len(scale) > 1:
        return group_norm(h) * (1 + scale[..., None, None]) + shift[..., None, None]
    weight = group_norm.weight * (1 + scale[0])
    bias = group_norm.bias * (1 + scale[0]) + shift[0]
    return F.group_norm(h, group_norm.num_groups, weight, bias, group_norm.eps)


def time_embedding(times: Tensor, channels: int) -> Tensor:
    """(B,) -> (B, channels): cosines, then sines, of wavelengths from 2 pi to 10000 * 2 pi (Vaswani et al. 2017)."""
    half = channels // 2
    frequencies = torch.exp(torch.arange(half, device=times.device, dtype=torch.float32) * (-math.log(10000) / half))
    angles = times.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)
