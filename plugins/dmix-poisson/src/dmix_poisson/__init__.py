"""A merge rule for dmix: Poisson image editing (Pérez, Gangnet & Blake, SIGGRAPH 2003) on clean predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from dmix_core import HardMask, Layer, Merged
from dmix_core.errors import CompositionError
from dmix_core.hookspecs import hookimpl
from dmix_core.quality import grow

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
    repaints: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grow < 0:
            raise CompositionError(f"grow is {self.grow}; expected 0 (the object's own pixels alone) or more pixels.")

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        canvas = layers[0].image
        for image, matte in layers[1:]:
            painted = (image != 0).any(1, keepdim=True) | (matte > 0)  # layers are zero outside of their regions
            near = painted & (grow((matte >= self.threshold).to(image.dtype), self.grow) > 0)
            canvas = torch.where(near, image + membrane(canvas, image, near, painted), canvas)
        images = torch.stack([layer.image for layer in layers])
        low, high = (limit.view(-1, 1, 1, 1) for limit in (images.amin((0, 2, 3, 4)), images.amax((0, 2, 3, 4))))
        weights = super().__call__(layers, progress).weights
        return Merged(canvas.clamp(low.clamp(max=-1), high.clamp(min=1)), weights)


@hookimpl
def dmix_merge_rules() -> dict[str, type[Poisson]]:
    return {"poisson": Poisson}
