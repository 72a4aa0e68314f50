"""Which pixels of a mask are one object, and which windows hold it whole."""

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmix_core.geometry import Box

from .arrays import Pixels, Size
from .components import label
from .exceptions import DataError
from .filters import figure_of, filters, why_left_out
from .loader import Picture
from .options import DataOptions
from .splitting import split


class Objects(NamedTuple):
    """The objects of a picture.

    Attributes:
        mask: (H, W), without specks.
        labels: (H, W), the number of the object or speck that owns the pixel; 0 for none.
        numbers: of the objects.
        specks: the areas of those that were erased, in pixels.
        left_out: how many were left out by which filter. These stay in the mask, so that no crop cuts them.
    """

    mask: Pixels
    labels: NDArray[np.integer]
    numbers: list[int]
    specks: list[int]
    left_out: Counter[str]


def objects_of(picture: Picture, options: DataOptions) -> Objects:
    """Number the objects of a picture; of the options, the fields `OBJECTS` decide.

    Raises:
        DataError: the picture has no mask.
    """
    if picture.mask is None:
        raise DataError(f"{picture.path.name!r} has no mask; objects are learned from pictures with masks.")
    mask, objects = picture.mask, picture.objects
    labels = _parts(mask > 127, options) if objects is None else objects
    areas = np.bincount(labels.ravel())[1:]
    small = (areas > 0) & (areas < options.min_area)
    if small.any():
        mask = np.where(np.isin(labels, np.flatnonzero(small) + 1), 0, mask).astype(np.uint8)
    numbers = (np.flatnonzero(areas >= options.min_area) + 1).tolist()
    whys = {number: _why_left_out(labels, number, options) for number in numbers} if filters(options) else {}
    taken = [number for number in numbers if whys.get(number) is None]
    return Objects(mask, labels, taken, areas[small].tolist(), Counter(why for why in whys.values() if why))


def _parts(mask: NDArray[np.bool_], options: DataOptions) -> NDArray[np.integer]:
    return split(mask, options.split_touching) if options.split_touching else label(mask, options.merge_distance)


def _why_left_out(labels: NDArray[np.integer], number: int, options: DataOptions) -> str | None:
    return why_left_out(figure_of(labels, number, box_of(labels == number)), options)


def why_none(objects: Objects, options: DataOptions) -> str:
    """Why a mask with these objects, which are none, shows no object."""
    if objects.left_out:
        return f"all objects are left out: {', '.join(f'{count} {why}' for why, count in objects.left_out.items())}"
    if not objects.specks:
        return "the mask shows no object"
    area = f"min_area, {options.min_area} pixels; the largest has {max(objects.specks)}"
    return f"the mask's parts are all smaller than {area}"


def box_of(mask: NDArray[np.bool_]) -> Box:
    """The tight box around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y, x = int(rows[0]), int(columns[0])
    return Box(x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)


def whole_crops(objects: NDArray[np.bool_], box: Box, size: Size) -> NDArray[np.intp]:
    """The top-left corners (N, 2) of all crops that hold the box and whose border crosses no object."""
    (height, width), (h, w) = objects.shape, size
    y = np.arange(max(0, box.y + box.height - h), min(box.y, height - h) + 1)[:, None]
    x = np.arange(max(0, box.x + box.width - w), min(box.x, width - w) + 1)[None, :]
    if not (y.size and x.size):
        return np.zeros((0, 2), np.intp)
    near = objects[y[0, 0] : y[-1, 0] + h, x[0, 0] : x[0, -1] + w]  # no crop reaches further
    total = np.pad(near.cumsum(0).cumsum(1), ((1, 0), (1, 0)))

    def crossed(top: NDArray[np.intp], left: NDArray[np.intp], rows: int, columns: int) -> NDArray[np.bool_]:
        top, left = top - y[0, 0], left - x[0, 0]
        bottom, right = top + rows, left + columns
        return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0

    cut = (y > 0) & crossed(y, x, 1, w) | (y + h < height) & crossed(y + h - 1, x, 1, w)
    cut |= (x > 0) & crossed(y, x, h, 1) | (x + w < width) & crossed(y, x + w - 1, h, 1)
    return np.stack(np.broadcast_arrays(y, x), -1)[~cut]


MOST_COVERED = 0.5
"""Of a crop that shows a part of an object: with more, hardly anything tells the object from its surroundings."""


def part_crops(objects: NDArray[np.bool_], box: Box, size: Size, least: int) -> NDArray[np.intp]:
    """The top-left corners (N, 2) of crops about the pixels of an object that no crop holds whole.

    Each is centred on a pixel of the object, as far as the picture's sides allow, so that crops lie along it and end
    where the picture ends.

    Args:
        objects: (H, W), at least as large as a crop.
        least: the fewest pixels of objects that a crop shows; of more than MOST_COVERED of it there are none.
    """
    (height, width), (h, w) = objects.shape, size
    rows, columns = np.nonzero(objects[box.y : box.y + box.height, box.x : box.x + box.width])
    y = np.clip(rows + box.y - h // 2, 0, height - h)
    x = np.clip(columns + box.x - w // 2, 0, width - w)
    corners = np.unique(np.stack([y, x], -1), axis=0)
    shown = covered(objects, size)[corners[:, 0], corners[:, 1]]
    return corners[(shown >= least) & (shown <= MOST_COVERED * h * w)]


def covered(mask: NDArray[np.bool_], size: Size) -> NDArray[np.intp]:
    """(H - h + 1, W - w + 1), how many pixels of a mask a crop (h, w) shows, by its top-left corner."""
    h, w = size
    total = np.pad(mask.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    counts: NDArray[np.intp] = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
    return counts
