"""Convolutions of images in doubled sides, without the repeated pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DoublingConv(nn.Conv2d):
    """A 3x3 convolution of an image in doubled sides: (B, C, h, w) -> (B, O, 2h, 2w)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return conv_of_doubled(x, self.weight, self.bias)


def conv_of_doubled(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3x3 convolution of `x` in doubled sides, by nearest neighbours, padded by zeros.

    In float32 on a CPU it is a transposed convolution, which takes about half the time; bfloat16, other devices and
    exported graphs enlarge the image first. Results agree but for rounding.

    Args:
        x: (B, C, h, w).
        weight: (O, C, 3, 3).
        bias: (O,).

    Returns:
        (B, O, 2h, 2w).
    """
    if transposes(x):
        return F.conv_transpose2d(x, spread(weight), bias, stride=2, padding=1)
    return F.conv2d(F.interpolate(x, scale_factor=2.0), weight, bias, padding=1)


def spread(weight: Tensor) -> Tensor:
    """The weights (C, O, 4, 4) of the transposed convolution that equals one by (O, C, 3, 3) of the doubled image.

    The four copies of a pixel meet a 3x3 kernel as the pixel itself meets that kernel, summed over the four places, and
    a result takes 4 products for a channel instead of 9 (sub-pixel convolution, Shi et al., 2016).
    """
    padded = F.pad(weight.transpose(0, 1).flip(2, 3), (1, 1, 1, 1))
    rows = padded[..., 1:, :] + padded[..., :-1, :]
    return rows[..., 1:] + rows[..., :-1]


def transposes(x: Tensor) -> bool:
    """Whether `conv_of_doubled` is a transposed convolution for this image: float32 by oneDNN, in no other graph."""
    if torch.compiler.is_compiling():  # asked first, since the compiler can't follow what oneDNN is asked below
        return False
    return (
        x.is_cpu
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
    )
