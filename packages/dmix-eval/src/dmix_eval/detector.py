"""The detector of experiments: a small U-Net from scratch, which says for each pixel whether a defect is there."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmix_models.doubling import conv_of_doubled

WIDTHS = (16, 32, 64, 128)
"""Channels at each scale, from the finest; 0.44 million parameters."""


class Detector(nn.Module):
    """A U-Net (Ronneberger et al., 2015) over grey pictures, batch-normalised.

    Two convolutions at each scale on the way down and one on the way up: two would take a third longer. Batch
    normalisation uses the same statistics for windows and for whole pictures, which group normalisation does not.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.down = nn.ModuleList(map(_twice, (1, *widths[:-1]), widths))
        self.up = nn.ModuleList(Joining(*_convolution(fine + coarse, fine)) for fine, coarse in pairwise(widths))
        self.out = nn.Conv2d(widths[0], 1, 1)

    @property
    def multiple(self) -> int:
        """Sides must be multiples of it."""
        return int(2 ** (len(self.down) - 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) in [-1, 1] to logits of the same shape, in float32."""
        kept = [self.down[0](x)]
        for block in self.down[1:]:
            kept.append(block(F.max_pool2d(kept[-1], 2)))
        x = kept.pop()
        for block in reversed(self.up):
            x = block(x, kept.pop())
        with torch.autocast(x.device.type, enabled=False):  # logits of 8 bits would tie
            logits: Tensor = self.out(x.float())
        return logits


def _twice(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_convolution(before, after), *_convolution(after, after))


def _convolution(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class Joining(nn.Sequential):
    """A block over what comes from below, doubled in its sides, and beside it what was kept on the way down."""

    def forward(self, coarse: Tensor, kept: Tensor) -> Tensor:  # type: ignore[override]
        convolution, norm, activation = self
        of_coarse, of_kept = cast(nn.Conv2d, convolution).weight.split([coarse.shape[1], kept.shape[1]], 1)
        x = conv_of_doubled(coarse, of_coarse) + F.conv2d(kept, of_kept, padding=1)
        return cast(Tensor, activation(norm(x)))


class Timed(nn.Module):
    """A detector with the arguments of a denoiser's network, by which `dmix_models.precision` takes its time."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        logits: Tensor = self.detector(x)
        return logits
