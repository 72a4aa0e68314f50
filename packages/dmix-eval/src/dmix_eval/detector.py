"""The detector of experiments: a small U-Net from scratch, which says for each pixel whether a defect is there."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        self.up = nn.ModuleList(_convolution(fine + coarse, fine) for fine, coarse in pairwise(widths))
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
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), kept.pop()], 1))
        with torch.autocast(x.device.type, enabled=False):  # logits of 8 bits would tie
            logits: Tensor = self.out(x.float())
        return logits


def _twice(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_convolution(before, after), *_convolution(after, after))


def _convolution(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class Timed(nn.Module):
    """A detector with the arguments of a denoiser's network, by which `dmix_models.precision` takes its time."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        logits: Tensor = self.detector(x)
        return logits
