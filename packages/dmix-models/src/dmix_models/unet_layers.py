"""The layers of guided-diffusion's UNet.

Modules stand in their `nn.Sequential` where guided-diffusion has them, so that its weights load as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, Protocol, TypeVar, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .doubling import DoublingConv

QkvOrder = Literal["legacy", "new"]

# guided-diffusion's two orders of the 3C channels that the attention's projection makes
QKV_LAYOUT: dict[QkvOrder, str] = {
    "legacy": "b (heads three c) h w -> three b heads (h w) c",
    "new": "b (three heads c) h w -> three b heads (h w) c",
}


class LayerConfig(Protocol):
    """What layers need of the network's config, whose docstring explains it."""

    @property
    def model_channels(self) -> int: ...
    @property
    def attention_downsamples(self) -> tuple[int, ...]: ...
    @property
    def dropout(self) -> float: ...
    @property
    def scale_shift_norm(self) -> bool: ...
    @property
    def resblock_updown(self) -> bool: ...
    @property
    def qkv_order(self) -> QkvOrder: ...
    @property
    def norm_groups(self) -> int: ...
    @property
    def widths(self) -> tuple[int, ...]: ...
    def heads(self, width: int, up: bool = False) -> int: ...


class Stage(nn.ModuleList):
    """Layers in a row; the residual blocks among them also hear the time."""

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        for layer in self:
            h = layer(h, emb) if isinstance(layer, ResBlock) else layer(h)
        return h


class ResBlock(nn.Module):
    """norm, SiLU, (resample,) conv; the time; norm, SiLU, dropout, conv; plus the (resampled) input."""

    def __init__(self, config: LayerConfig, width: int, out: int, resample: nn.Module | None = None) -> None:
        super().__init__()
        self.resample = resample or nn.Identity()
        doubles = isinstance(resample, nn.Upsample)  # then the convolution does, too
        self.in_layers = nn.Sequential(
            norm(config, width),
            nn.Sequential(SiLU(), nn.Identity() if doubles else self.resample),
            DoublingConv(width, out) if doubles else conv3x3(width, out),
        )
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

    def __init__(self, config: LayerConfig, width: int, up: bool = False) -> None:
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
        self.conv = DoublingConv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def downsample(config: LayerConfig, width: int) -> nn.Module:
    return ResBlock(config, width, width, nn.AvgPool2d(2)) if config.resblock_updown else Downsample(width)


def upsample(config: LayerConfig, width: int) -> nn.Module:
    nearest = nn.Upsample(scale_factor=2.0, mode="nearest")
    return ResBlock(config, width, width, nearest) if config.resblock_updown else Upsample(width)


def attention(config: LayerConfig, level: int, up: bool = False) -> Iterator[nn.Module]:
    if 2**level in config.attention_downsamples:
        yield Attention(config, config.widths[level], up)


def norm(config: LayerConfig, width: int) -> nn.GroupNorm:
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

    @property
    def weight(self) -> Tensor: ...
    @property
    def bias(self) -> Tensor: ...


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
