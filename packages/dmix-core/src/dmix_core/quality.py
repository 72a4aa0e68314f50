"""Does the object show where its mask is? Numbers for each sample, without a second network.

Where object and background were drawn in different light, a merge can melt the object into the scene while its mask
stays, and such a label is poison for a detector.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from .mattes import grow

RING = 4  # pixels: how far around an object its surroundings reach


class Visibility(NamedTuple):
    """How an object stands out from its surroundings; (B,) each, NaN where its mask is empty or fills the picture."""

    contrast: Tensor
    """|mean inside - mean around|, in grey levels 0..255."""
    edge: Tensor
    """Mean gradient along the contour over that around: a cut-out has far more than a photograph."""
    grain: Tensor
    """Fine structure (deviation from the 3x3 mean) inside over that around: 1 where both are equally sharp."""


def visibility(image: Tensor, mask: Tensor) -> Visibility:
    """How the pixels of a mask stand out from the ring around them.

    Args:
        image: (B, C, H, W) in [-1, 1].
        mask: (B, 1, H, W) bool, such as a RegionResult's `visible`.
    """
    grey, inside = _grey(image), mask.float()
    touching, around = grow(inside, 1), _around(inside)
    contour = touching - (1 - grow(1 - inside, 1))
    fine = (grey - _local_mean(grey)).abs()
    return Visibility(
        signed_contrast(image, mask).abs(),
        _mean(_gradient(grey), contour) / _mean(_gradient(grey), around),
        _mean(fine, inside) / _mean(fine, around),
    )


def signed_contrast(image: Tensor, mask: Tensor) -> Tensor:
    """Mean inside - mean around, in grey levels; (B,), negative where the object is darker than its surroundings.

    Arguments, and where it is NaN, as for `visibility`.
    """
    grey, inside = _grey(image), mask.float()
    return _mean(grey, inside) - _mean(grey, _around(inside))


def _grey(image: Tensor) -> Tensor:
    return 127.5 * (image.float().mean(1, keepdim=True) + 1)


def _around(inside: Tensor) -> Tensor:
    """The ring of `RING` pixels around a mask, the nearest pixel left out."""
    return grow(inside, 1 + RING) - grow(inside, 1)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))


def _local_mean(grey: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _gradient(grey: Tensor) -> Tensor:
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return (across**2 + down**2).sqrt() / 2
