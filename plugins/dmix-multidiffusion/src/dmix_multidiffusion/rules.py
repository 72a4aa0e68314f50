"""Merge rules for dmix from panoramas: where regions overlap they share each pixel, all alike or by a window.

Region i gets the share K_i M_i / sum_j K_j M_j of a pixel: M is its matte, K a window over the box of that, which for a
region without a mask is its own box. The bottom region gets what nobody covers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import ClassVar

import torch
from torch import Tensor

from dmix_core import Layer, Merged
from dmix_core.errors import CompositionError
from dmix_core.mattes import blend, total


class Shares:
    """What the rules have in common: they differ in K."""

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        weights = torch.stack([layer.matte * self.window(layer.matte) for layer in layers])
        weights[0] += total(weights) == 0
        return blend(layers, weights / total(weights))

    def window(self, matte: Tensor) -> Tensor:
        """K for a region's matte (B, 1, H, W), of that shape."""
        return self.kernel(*ruler(matte, 2)) * self.kernel(*ruler(matte, 3))

    def kernel(self, u: Tensor, length: Tensor) -> Tensor:
        """K along one axis: at u from -1 in the middle of the first pixel to 1 in that of the last, `length` in all."""
        raise NotImplementedError


@dataclass(frozen=True)
class MultiDiffusion(Shares):
    """The mean of all regions that cover a pixel: K = 1 (MultiDiffusion, Bar-Tal et al. 2023)."""

    reach: ClassVar[int] = 0

    def kernel(self, u: Tensor, length: Tensor) -> Tensor:
        """One everywhere, so that a pixel's shares depend on nothing around it."""
        return torch.ones_like(u)


@dataclass(frozen=True)
class GaussianWindow(Shares):
    """A region counts most in its middle: K is a Gaussian (Mixture of Diffusers, Jimenez 2023).

    Attributes:
        variance: in units of the box' sides squared, 0.005 or more, since narrower ones vanish in the corners.
    """

    variance: float = 0.01

    def __post_init__(self) -> None:
        if not self.variance >= 0.005:
            raise CompositionError(f"variance is {self.variance}; expected 0.005 or more, such as 0.01.")

    def kernel(self, u: Tensor, length: Tensor) -> Tensor:
        away = u * (length - 1) / (2 * length)
        return (-(away**2) / (2 * self.variance)).exp() / sqrt(2 * pi * self.variance)


@dataclass(frozen=True)
class QuarticWindow(Shares):
    """A region counts most in its middle: K = 15/16 (1 - (0.995 u)^2)^2, as in Mixture of Diffusers."""

    def kernel(self, u: Tensor, length: Tensor) -> Tensor:
        return 15 / 16 * (1 - (0.995 * u) ** 2) ** 2


def ruler(matte: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """For an axis of the tight box of each sample's matte (B, 1, H, W): u of each pixel, and the box' length."""
    side = matte.shape[axis]
    place = torch.arange(side, device=matte.device).view((side, 1) if axis == 2 else (1, side))
    covered = (matte > 0).any(dim=5 - axis, keepdim=True)
    first = torch.where(covered, place, side).amin(axis, keepdim=True)
    last = torch.where(covered, place, -1).amax(axis, keepdim=True)
    first, last = first.to(matte.dtype), last.to(matte.dtype)
    return (2 * place - first - last) / (last - first).clamp(min=1), last - first + 1
