"""Where objects are painted: boxes on a canvas that keep their distances."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dmix_core.errors import GeometryError
from dmix_core.geometry import Box, Size

from .measured import RealObject
from .plan_draws import Draws

LAYOUTS, PLACES = 40, 60
"""How often all boxes of a sample are drawn anew, and how many places each of them is offered."""


@dataclass(frozen=True)
class Placement:
    """The rules by which boxes are placed.

    Attributes:
        min_distance: the fewest pixels between two boxes.
        max_overlap: the largest part of a box that another may cover, 0..1.
        roi: (H, W) bool, True where boxes may lie; None: everywhere.
        region: what errors call the roi.
    """

    min_distance: int = 0
    max_overlap: float = 0.0
    roi: NDArray[np.bool_] | None = None
    region: str = "the region of interest `roi`"

    def boxes(
        self,
        sizes: Sequence[Size],
        canvas: Size,
        draws: Draws,
        where: str,
        like: Sequence[RealObject] = (),
        taken: Sequence[Box] = (),
    ) -> list[Box]:
        """A box for each size (height, width).

        Args:
            where: names the canvas in errors.
            like: for each box the real object about whose place it lies; without any, boxes lie anywhere.
            taken: boxes that are there already, from which the others keep their distances.

        Raises:
            GeometryError: they cannot be placed, and which rule forbids it.
        """
        corners = {size: self._corners(size, canvas, where) for size in {*sizes}}
        for _ in range(LAYOUTS):
            placed = [*taken]
            for i, size in enumerate(sizes):
                drawn = partial(like[i].box, size, canvas) if like else partial(_anywhere, size, corners[size], canvas)
                offered = (drawn(draws) for _ in range(PLACES))
                box = next((box for box in offered if self._suits(box, placed)), None)
                if box is None:
                    break
                placed.append(box)
            else:
                return placed[len(taken) :]
        raise self._crowded(sizes, canvas, where)

    def _corners(self, size: Size, canvas: Size, where: str) -> NDArray[np.intp] | None:
        """The top left corners (N, 2) that the region of interest leaves; None: all that the canvas has."""
        if size[0] > canvas[0] or size[1] > canvas[1]:
            raise GeometryError(
                f"A box of {size[1]}x{size[0]} pixels does not fit on {where} of {canvas[1]}x{canvas[0]}; "
                "expected larger backgrounds, or a smaller `size` of the object."
            )
        if self.roi is None:
            return None
        if self.roi.shape != canvas:
            raise GeometryError(
                f"The region of interest `roi` has {self.roi.shape[1]}x{self.roi.shape[0]} pixels, {where} "
                f"{canvas[1]}x{canvas[0]}; expected the same size."
            )
        corners = _inside(self.roi, size)
        if not len(corners):
            raise GeometryError(
                f"No box of {size[1]}x{size[0]} pixels on {where} lies wholly in {self.region}; "
                "expected a larger one, or a smaller `size` of the object."
            )
        return corners

    def _suits(self, box: Box, placed: Sequence[Box]) -> bool:
        allowed = self.roi is None or bool(self.roi[box.y : box.y + box.height, box.x : box.x + box.width].all())
        return allowed and all(self._apart(box, other) for other in placed)

    def _apart(self, one: Box, other: Box) -> bool:
        if self.max_overlap:
            shared = one.shared(other)
            smaller = min(one.width * one.height, other.width * other.height)
            return shared.width * shared.height <= self.max_overlap * smaller
        across = max(one.x - other.x - other.width, other.x - one.x - one.width)
        down = max(one.y - other.y - other.height, other.y - one.y - one.height)
        return max(across, down) >= self.min_distance

    def _crowded(self, sizes: Sequence[Size], canvas: Size, where: str) -> GeometryError:
        rule = f"max_overlap {self.max_overlap:g}" if self.max_overlap else f"min_distance {self.min_distance}"
        within = "" if self.roi is None else f" within {self.region}"
        listed = ", ".join(f"{width}x{height}" for height, width in sizes)
        return GeometryError(
            f"{len(sizes)} boxes ({listed}) found no places on {where} of {canvas[1]}x{canvas[0]} pixels that keep "
            f"{rule}{within}; expected fewer objects by `per_image`, a smaller "
            "`min_distance` or a larger `max_overlap`."
        )


def _anywhere(size: Size, corners: NDArray[np.intp] | None, canvas: Size, draws: Draws) -> Box:
    height, width = size
    if corners is None:
        return Box(draws.below(canvas[1] - width + 1), draws.below(canvas[0] - height + 1), width, height)
    y, x = map(int, corners[draws.below(len(corners))])
    return Box(x, y, width, height)


def _inside(roi: NDArray[np.bool_], size: Size) -> NDArray[np.intp]:
    """The top left corners (N, 2) of all boxes of a size that lie wholly where the mask is True."""
    height, width = size
    total = np.pad(roi.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    covered = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    return np.argwhere(covered == height * width)
