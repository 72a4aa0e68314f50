"""Where real objects lie and how large they are."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dmix_core.geometry import Size
from dmix_data.objects import box_of, objects_of
from dmix_data.options import DataOptions
from dmix_data.readers import read_pairs

ROOM = 1.5
"""The side of a box over that of its object: about the middle of what models of objects learn from."""


class RealObject(NamedTuple):
    """An object of a real picture.

    Attributes:
        across, down: its centre, as fractions of the picture's width and height.
        side: the longer side of its tight box, in pixels.
        area: its pixels.
    """

    across: float
    down: float
    side: int
    area: int

    def size(self, own: Size, canvas: Size) -> Size:
        """The box for an object of about this size, in the shape of a model's own size, half to twice as large.

        Args:
            canvas: (H, W), in which it fits; the model's own size does.
        """
        room = min(canvas[0] / own[0], canvas[1] / own[1])
        scale = min(max(ROOM * self.side / max(own), 0.5), 2.0, room)
        height, width = (max(1, round(scale * side)) for side in own)
        return height, width


def real_objects(folder: str | Path) -> tuple[RealObject, ...]:
    """All objects of a data set of pictures with masks, in any layout.

    Raises:
        DataError, ImageError: it cannot be read.
    """
    options, found = DataOptions(split="all", skip_empty=True), []
    for picture in read_pairs(folder, options):
        objects, (height, width) = objects_of(picture, options), picture.size
        for number in objects.numbers:
            shown = objects.labels == number
            box = box_of(shown)
            centre = (box.x + box.width / 2) / width, (box.y + box.height / 2) / height
            found.append(RealObject(*centre, max(box.width, box.height), int(shown.sum())))
    return tuple(found)


def usual_areas(objects: tuple[RealObject, ...]) -> tuple[float, float]:
    """The areas between which 98 in 100 real objects lie, in pixels."""
    low, high = np.quantile([each.area for each in objects], (0.01, 0.99)).tolist()
    return low, high
