"""Weights that sum to one: who owns which share of each pixel."""

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor

from .protocols import Layer, Merged


def stack(mattes: Sequence[Tensor]) -> Tensor:
    """Weights of mattes stacked from bottom to top: w_i = a_i prod_{j>i} (1 - a_j); the bottom owns the rest.

    For a background and one object this is the paper's m^bg = 1 - m and m^o = m.

    Args:
        mattes: N tensors (B, 1, H, W) in [0, 1].

    Returns:
        (N, B, 1, H, W), non-negative, summing to one over N.
    """
    uncovered = torch.ones_like(mattes[0])
    weights = []
    for matte in reversed(mattes[1:]):
        weights.append(matte * uncovered)
        uncovered = uncovered * (1 - matte)
    return torch.stack([uncovered, *reversed(weights)])


def blend(layers: Sequence[Layer], weights: Tensor) -> Merged:
    """The canvas as the weighted sum of the layers' images.

    Each pixel that one layer owns alone comes out exactly as it is there.
    """
    return Merged(total(weight * layer.image for weight, layer in zip(weights, layers, strict=True)), weights)


def total(parts: Iterable[Tensor]) -> Tensor:
    """The sum from first to last, in this order: parts that are zero at a pixel do not change its last bits."""
    return reduce(add, parts)


def grow(mask: Tensor, pixels: int) -> Tensor:
    """A mask (B, 1, H, W) of 0 and 1, grown by so many pixels in every direction."""
    return F.max_pool2d(mask, 2 * pixels + 1, stride=1, padding=pixels)
