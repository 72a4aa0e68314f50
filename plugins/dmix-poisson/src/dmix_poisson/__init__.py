"""A merge rule for dmix: Poisson image editing (Pérez, Gangnet & Blake, SIGGRAPH 2003) on clean predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dmix_core import HardMask, Layer, Merged
from dmix_core.errors import CompositionError
from dmix_core.hookspecs import hookimpl
from dmix_core.mattes import grow

from .membrane import membrane

__all__ = ["Poisson", "dmix_merge_rules"]


@dataclass(frozen=True)
class Poisson(HardMask):
    """Owners as under the hard mask; an object keeps its gradients, and takes its colours from what lies around it.

    From bottom to top, an object's pixels and those near it become the image that has the gradients of its layer and
    joins, at their border, what lies below: eq. 2 of the paper with v = grad g.

    Attributes:
        grow: how many pixels around an object are near it, 0 or more. They are repainted along with it, so that its
            edge stays as it was painted and the seam comes to lie in its surroundings; they still belong to others.
    """

    grow: int = 2
    reach: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grow < 0:
            raise CompositionError(f"grow is {self.grow}; expected 0 (the object's own pixels alone) or more pixels.")

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        canvas, limits = layers[0].image, Limits(layers[0].image)
        for image, matte in layers[1:]:
            painted = (image != 0).any(1, keepdim=True) | (matte > 0)  # layers are zero outside of their regions
            near = painted & (grow((matte >= self.threshold).to(image.dtype), self.grow) > 0)
            limits.widen(image, near)
            canvas = torch.where(near, image + membrane(canvas, image, near, painted), canvas)
        canvas = canvas.clamp(limits.low, limits.high)
        blended, weights, _ = super().__call__(layers, progress)
        return Merged(canvas, weights, canvas - blended)


class Limits:
    """How far new values may go: [-1, 1], or the range of the layers in the same area where it is wider.

    Attributes:
        low, high: (B, 1, H, W), infinite where nothing is new.
    """

    def __init__(self, bottom: Tensor) -> None:
        self._least, self._most = bottom.amin(1, keepdim=True), bottom.amax(1, keepdim=True)
        self.low, self.high = torch.full_like(self._least, -torch.inf), torch.full_like(self._most, torch.inf)

    def widen(self, image: Tensor, area: Tensor) -> None:
        """Take in the next layer's image (B, C, H, W), which is new in an area (B, 1, H, W) bool."""
        self._least = torch.minimum(self._least, image.amin(1, keepdim=True))
        self._most = torch.maximum(self._most, image.amax(1, keepdim=True))
        low = torch.where(area, self._least, 0).amin((1, 2, 3), keepdim=True).clamp(max=-1)
        high = torch.where(area, self._most, 0).amax((1, 2, 3), keepdim=True).clamp(min=1)
        self.low, self.high = torch.where(area, low, self.low), torch.where(area, high, self.high)


@hookimpl
def dmix_merge_rules() -> dict[str, type[Poisson]]:
    return {"poisson": Poisson}
