"""One model on a canvas larger than its grid, one noise for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Literal

import torch
from torch import Tensor

from dmix_core import Box, Layer, MergeRule, Prediction, Spec, Wrapper
from dmix_core.errors import CompositionError

from .rules import GaussianWindow, MultiDiffusion, QuarticWindow

RULES: dict[str, MergeRule] = {"mean": MultiDiffusion(), "gaussian": GaussianWindow(), "quartic": QuarticWindow()}


@dataclass(frozen=True, eq=False)
class Panorama(Wrapper):
    """A denoiser of a larger picture: the one inside looks through windows that overlap; its predictions are merged.

    Where windows overlap they see the same noisy pixels, as in MultiDiffusion and Mixture of Diffusers; regions of a
    composition never do, since each makes its own noise.

    Attributes:
        denoiser: the one inside.
        width: of the picture, in pixels, the grid's or more; None: the grid's.
        height: likewise.
        stride: the most pixels from one window to the next, up to the grid's shorter side; None: half of that.
        window: how windows share a pixel: "mean", "gaussian" or "quartic".
    """

    width: int | None = None
    height: int | None = None
    stride: int | None = None
    window: Literal["mean", "gaussian", "quartic"] = "gaussian"

    def __post_init__(self) -> None:
        most = min(self.denoiser.spec.size)
        if self.stride is not None and not 1 <= self.stride <= most:
            raise CompositionError(
                f"stride is {self.stride}; expected 1..{most} pixels, so that windows leave nothing out."
            )
        for name, side, least in zip(("height", "width"), self.spec.size, self.denoiser.spec.size, strict=True):
            if side < least:
                raise CompositionError(f"{name} is {side}; expected that of the model's grid, {least}, or more.")

    @property
    def spec(self) -> Spec:
        """The larger picture."""
        height, width = self.denoiser.spec.size
        return super().spec._replace(size=(self.height or height, self.width or width))

    @cached_property
    def windows(self) -> list[Box]:
        """Where the one inside looks, evenly spread, from the upper left to the lower right."""
        inside = self.denoiser.spec.size
        stride = self.stride or max(1, min(inside) // 2)
        rows, columns = (starts(side, part, stride) for side, part in zip(self.spec.size, inside, strict=True))
        return [Box(x, y, inside[1], inside[0]) for y in rows for x in columns]

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        views = torch.stack([box.crop(x_t) for box in self.windows], dim=1).flatten(0, 1)  # sample by sample
        clean, spread = self.denoiser(views, t)
        return Prediction(self._merge(clean), None if spread is None else self._merge(spread.expand_as(clean)))

    def _merge(self, views: Tensor) -> Tensor:
        """The predictions of the windows (B * windows, K, h, w) as one picture (B, K, H, W)."""
        size = self.spec.size
        parts = views.reshape(-1, len(self.windows), *views.shape[1:]).unbind(1)
        layers = [
            Layer(box.paste(p, size), box.paste(torch.ones_like(p[:, :1]), size))
            for box, p in zip(self.windows, parts, strict=True)
        ]
        return RULES[self.window](layers, 1.0).canvas


def starts(side: int, part: int, stride: int) -> Sequence[int]:
    """Where parts begin that cover a side evenly, each at most `stride` after the one before."""
    steps = ceil((side - part) / stride)
    return [round(i * (side - part) / steps) for i in range(steps + 1)] if steps else [0]
