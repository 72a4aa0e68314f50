"""Real objects: where they lie, how large they are, and what is usual of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dmix_core.geometry import Size
from dmix_core.sample import contrast
from dmix_data.objects import box_of, objects_of
from dmix_data.options import DataOptions
from dmix_data.readers import read_pairs

from .traits import FEWEST, Limits, Traits, limits_of, traits_of

ROOM = 1.5
"""The side of a box over that of its object: about the middle of what models of objects learn from."""


class RealObject(NamedTuple):
    """An object of a real picture.

    Attributes:
        across, down: its centre, as fractions of the picture's width and height.
        side: the longer side of its tight box, in pixels.
        class_name: "" where its data set names none.
    """

    across: float
    down: float
    side: int
    traits: Traits
    class_name: str = ""

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
        image = torch.from_numpy(picture.pixels / 127.5 - 1).permute(2, 0, 1)
        for number in objects.numbers:
            shown = objects.labels == number
            box = box_of(shown)
            centre = (box.x + box.width / 2) / width, (box.y + box.height / 2) / height
            inside = torch.from_numpy(box.crop(shown))
            traits = traits_of(inside.numpy(), contrast(image, box, inside, box))
            found.append(RealObject(*centre, max(box.width, box.height), traits, picture.class_name or ""))
    return tuple(found)


def usual_traits(objects: Sequence[RealObject], class_name: str) -> Limits:
    """What is usual among the real objects of a class, or, where there are too few of these, among all of them."""
    of_class = [each.traits for each in objects if each.class_name == class_name]
    return limits_of(of_class if len(of_class) >= FEWEST else [each.traits for each in objects])
