"""What a composition gives: the image, and for every region its own image, masks and boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .geometry import Box
from .protocols import Layer, Merged, MergeRule, Region


@dataclass(frozen=True, eq=False)
class RegionResult:
    """What became of one region.

    Attributes:
        name: the region's.
        image: (B, C, H, W), its own clean prediction laid on the canvas, hidden parts included.
        visible: (B, 1, H, W) bool, the pixels that it owns in the image.
        amodal: (B, 1, H, W) bool, the pixels that it would own if nothing lay above it.
        boxes: for each sample the tight box of `visible`, None where nothing of it shows.
    """

    name: str
    image: Tensor
    visible: Tensor
    amodal: Tensor
    boxes: tuple[Box | None, ...]


@dataclass(frozen=True, eq=False)
class Composition:
    """A finished composition.

    Attributes:
        image: (B, C, H, W) in [-1, 1].
        index: (B, H, W) uint8, which region owns the pixel: 0 for the bottom one.
        regions: from bottom to top.
    """

    image: Tensor
    index: Tensor
    regions: tuple[RegionResult, ...]


def finish(regions: Sequence[Region], layers: Sequence[Layer], merged: Merged, merge: MergeRule) -> Composition:
    """Read off the last merge who owns what: at each pixel the region of largest weight."""
    index = merged.weights.argmax(0)[:, 0].to(torch.uint8)
    results = [_result(i, region.name, layer, index, merge) for i, (region, layer) in enumerate(zip(regions, layers))]
    return Composition(merged.canvas, index, tuple(results))


def _result(i: int, name: str, layer: Layer, index: Tensor, merge: MergeRule) -> RegionResult:
    visible = (index == i)[:, None]
    empty = Layer(torch.zeros_like(layer.image), torch.ones_like(layer.matte))
    alone = merge([empty, layer], 1.0).weights[1]
    return RegionResult(name, layer.image, visible, visible | (alone >= 0.5), tuple(map(tight_box, visible[:, 0])))


def tight_box(mask: Tensor) -> Box | None:
    """The smallest box around a mask (H, W) bool; None if it is empty."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    return Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)
