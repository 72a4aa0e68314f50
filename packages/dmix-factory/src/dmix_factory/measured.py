"""Real objects: where they lie, how large they are, and what is usual of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dmix_core.geometry import Box, Size
from dmix_core.sample import contrast
from dmix_data.objects import box_of, objects_of
from dmix_data.options import DataOptions
from dmix_data.readers import read_pairs

from .plan_draws import Draws
from .traits import FEWEST, Limits, Traits, limits_of, traits_of

ROOM = 1.5
"""The side of a box over that of its object: about the middle of what models of objects learn from."""
LONGEST = 2
"""The sides of a box over those of the model's grid, at most, where it is as long as a real object needs."""
NEAR = 2
"""Pixels between an object and a side of its picture that it touches."""
STRAY = 0.1
"""By how much of the canvas a box may lie elsewhere than the real object did, along a side that it does not touch."""


class RealObject(NamedTuple):
    """An object of a real picture.

    Attributes:
        across, down: its centre, as fractions of the picture's width and height.
        height, width: of its tight box, in pixels.
        touches: which sides of the picture it touches: left, top, right, bottom.
        class_name: "" where its data set names none.
    """

    across: float
    down: float
    height: int
    width: int
    traits: Traits
    touches: tuple[bool, bool, bool, bool] = (False, False, False, False)
    class_name: str = ""

    def size(self, own: Size, canvas: Size, multiple: int | None = None) -> Size:
        """The box for an object of about this size.

        Args:
            own: (h, w), what its model was trained on.
            canvas: (H, W), in which it fits; the model's own size does.
            multiple: the model paints at its own scale on longer grids, too, whose sides are multiples of this; the box
                is then as long as the object needs. None: it has the shape of the model's own size, half to twice as
                large.
        """
        if multiple:
            sides = zip((self.height, self.width), own, canvas, strict=True)
            height, width = (_side(side, mine, most, multiple) for side, mine, most in sides)
        else:
            room = min(canvas[0] / own[0], canvas[1] / own[1])
            scale = min(max(ROOM * max(self.height, self.width) / max(own), 0.5), 2.0, room)
            height, width = (max(1, round(scale * side)) for side in own)
        return height, width

    def box(self, size: Size, canvas: Size, draws: Draws) -> Box:
        """A box of this size about where the object lies: at the sides that it touches, and elsewhere within STRAY."""
        left, top, right, bottom = self.touches
        x = _start(self.across, left, right, size[1], canvas[1], draws)
        return Box(x, _start(self.down, top, bottom, size[0], canvas[0], draws), size[1], size[0])


def _side(side: int, own: int, most: int, multiple: int) -> int:
    wanted = -(-round(ROOM * side) // multiple) * multiple
    return max(own, min(wanted, LONGEST * own, most // multiple * multiple))


def _start(centre: float, first: bool, last: bool, length: int, whole: int, draws: Draws) -> int:
    free = whole - length
    if first != last:
        return 0 if first else free
    start = round((centre + draws.uniform(-STRAY, STRAY)) * whole - length / 2)
    return min(max(start, 0), free)


def real_objects(folder: str | Path) -> tuple[RealObject, ...]:
    """All objects of a data set of pictures with masks, in any layout.

    Raises:
        DataError, ImageError: it cannot be read.
    """
    options, found = DataOptions(split="all", skip_empty=True), []
    for picture in read_pairs(folder, options):
        objects, (height, width) = objects_of(picture, options), picture.size
        image = torch.from_numpy(picture.pixels / 127.5 - 1).permute(2, 0, 1)
        for number in objects.numbers:
            shown = objects.labels == number
            box = box_of(shown)
            centre = (box.x + box.width / 2) / width, (box.y + box.height / 2) / height
            far = width - box.x - box.width, height - box.y - box.height
            touches = (box.x <= NEAR, box.y <= NEAR, far[0] <= NEAR, far[1] <= NEAR)
            inside = torch.from_numpy(box.crop(shown))
            traits = traits_of(inside.numpy(), contrast(image, box, inside, box))
            found.append(RealObject(*centre, box.height, box.width, traits, touches, picture.class_name or ""))
    return tuple(found)


def usual_traits(objects: Sequence[RealObject], class_name: str) -> Limits:
    """What is usual among the real objects of a class, or, where there are too few of these, among all of them."""
    of_class = [each.traits for each in objects if each.class_name == class_name]
    return limits_of(of_class if len(of_class) >= FEWEST else [each.traits for each in objects])
