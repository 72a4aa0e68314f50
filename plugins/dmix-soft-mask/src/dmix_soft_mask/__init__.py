"""A merge rule for dmix: the predicted mask as alpha, with a feathered edge."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from dmix_core import Layer, Merged
from dmix_core.errors import CompositionError
from dmix_core.hookspecs import hookimpl
from dmix_core.mattes import blend, stack

MOST = 64
"""The widest feather in pixels: the cost of a step grows with its square."""


@dataclass(frozen=True)
class SoftMask:
    """Each region's predicted mask is its alpha; 0.3 in the mask is 30 % of the region in the picture.

    Attributes:
        feather: in pixels of the canvas, 0..MOST. The edge then fades inwards, over 2 * feather + 1 pixels.
    """

    feather: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.feather <= MOST:
            raise CompositionError(f"feather is {self.feather}; expected 0 (the mask as it is) to {MOST} pixels.")

    @property
    def reach(self) -> int:
        """An edge fades by what lies within twice the feather of it."""
        return 2 * self.feather

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        return blend(layers, stack([feathered(layer.matte, self.feather) for layer in layers]))


def feathered(matte: Tensor, feather: int) -> Tensor:
    """Shrink a matte (B, 1, H, W) by `feather` pixels, then average it over as many on every side.

    No value rises: whatever a pixel's average takes in has been lowered to the pixel's own value or below. So the
    result is zero wherever the matte was, outside of the region above all.
    """
    side = 2 * feather + 1
    shrunk = -F.max_pool2d(-matte, side, stride=1, padding=feather)
    return F.avg_pool2d(shrunk, side, stride=1, padding=feather, count_include_pad=False)


@hookimpl
def dmix_merge_rules() -> dict[str, type[SoftMask]]:
    return {"soft-mask": SoftMask}
