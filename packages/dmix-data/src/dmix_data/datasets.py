"""What a model learns from: windows and object crops at the pictures' own scale, image and mask cut as one."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmix_core.geometry import Box
from dmix_core.protocols import Size

from .components import label
from .files import DataError, Pixels
from .memory import Stored, derived, now, remade, replaced
from .pictures import Picture, reasons

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """A picture, and where the crops of one item lie in it.

    Attributes:
        pixels: (H, W, 1 or 3) of the picture.
        mask: (H, W) of the picture; None for a background.
        corners: (N, 2) top-left corners (y, x) of the crops.
        group: items of one group show the same thing, or are of the same picture.
        class_name: of the object; None where the data set names none.
    """

    pixels: Pixels
    mask: Pixels | None
    corners: NDArray[np.intp]
    group: str
    class_name: str | None

    def crop(self, corner: Sequence[int] | NDArray[np.intp], size: Size) -> Pixels:
        """The crop (h, w, 3 + M) at a corner."""
        (y, x), (h, w) = corner, size
        window = np.s_[y : y + h, x : x + w]
        image = _rgb(self.pixels[window])
        return image if self.mask is None else np.dstack([image, self.mask[window]])


class Crops(Protocol):
    """Pictures to learn from; an item can be cut in many ways, all of one size."""

    size: Size
    mask_channels: int
    pictures: list[Picture]
    skipped: dict[str, int]
    """Why pictures or objects were left out, and how many."""
    settings: dict[str, object]
    """How they are found in the pictures."""

    def __len__(self) -> int: ...

    @property
    def class_names(self) -> list[str | None]:
        """Of each item, the class that it shows; None where the data set names none."""
        ...

    def cut(self, item: int, random: np.random.Generator) -> Pixels:
        """Cut item number `item` at a random place: (h, w, 3 + M) uint8, the mask 255 where the object is."""
        ...

    def place(self, item: int) -> Place:
        """Everything that `cut` may cut of item number `item`."""
        ...


def is_grey(crops: Crops) -> bool:
    return all(picture.grey for picture in crops.pictures)


def facts(crops: Crops) -> dict[str, object]:
    """How the crops were found and how many there are."""
    sources = [picture.source for picture in crops.pictures if picture.source]
    rules = sorted({source.mask.rule for source in sources if source.mask})
    return crops.settings | {"mask_rule": ", ".join(rules), "items": len(crops), "left out": crops.skipped}


def digests(crops: Crops) -> dict[str, str]:
    """A digest of all that can be learned from each picture, by the picture's path below the folder of all."""
    root = Path(os.path.commonpath([picture.path.parent for picture in crops.pictures]))
    found: dict[str, str] = {}
    for picture in crops.pictures:
        name = picture.path.relative_to(root).as_posix()
        found[f"{name} ({picture.class_name})" if name in found else name] = picture.digest.hex()
    return found


# ---- backgrounds --------------------------------------------------------------------------------------------


class Windows:
    """Random windows of whole pictures; an item is a picture.

    Args:
        size: of the windows.
        scale: shrinks the pictures first, in (0, 1]; 1 leaves every pixel as it is.
        skip_small: leave pictures smaller than the window out; by default they are refused.
    """

    mask_channels = 0

    def __init__(self, pictures: Sequence[Picture], size: Size, scale: float = 1.0, skip_small: bool = False):
        scaled = [shrink(picture, scale) for picture in pictures]
        self.size = size
        self.settings: dict[str, object] = {"scale": scale}
        self.pictures = _large_enough(scaled, size, skip_small)
        self.skipped = reasons(pictures) | {"smaller than the window": len(scaled) - len(self.pictures)}

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def class_names(self) -> list[str | None]:
        return [picture.class_name for picture in self.pictures]

    def cut(self, item: int, random: np.random.Generator) -> Pixels:
        picture, (h, w) = self.pictures[item], self.size
        y, x = random.integers(0, [picture.size[0] - h + 1, picture.size[1] - w + 1])
        return _rgb(picture.pixels[y : y + h, x : x + w])

    def place(self, item: int) -> Place:
        picture, (h, w) = self.pictures[item], self.size
        corners = np.argwhere(np.ones((picture.size[0] - h + 1, picture.size[1] - w + 1), bool))
        return Place(picture.pixels, None, corners, picture.group, picture.class_name)


def shrink(picture: Picture, scale: float) -> Picture:
    """A picture and its mask made smaller by one factor; the mask's edge becomes soft."""
    if not 0 < scale <= 1:
        raise DataError(f"scale is {scale}; expected a factor above 0 and at most 1 (1 = native scale).")
    if scale == 1:
        return picture
    size = round(picture.size[0] * scale), round(picture.size[1] * scale)
    mask, objects = picture.stored_mask, picture.stored_objects
    return replace(
        picture,
        stored_pixels=_resized(picture.stored_pixels, size),
        stored_mask=None if mask is None else _resized(mask, size),
        stored_objects=None if objects is None else _resized(objects, size, Image.Resampling.NEAREST),
    )


def _resized(stored: Stored, size: Size, by: Image.Resampling = Image.Resampling.BOX) -> Stored:
    def resize(array: NDArray) -> NDArray:
        channels = np.moveaxis(array, 2, 0) if array.ndim == 3 else [array]
        resized = [np.asarray(Image.fromarray(channel).resize(size[::-1], by)) for channel in channels]
        return np.stack(resized, 2) if array.ndim == 3 else resized[0]

    return derived(stored, resize, (*size, *stored.shape[2:]))


def _large_enough(pictures: Sequence[Picture], size: Size, skip_small: bool) -> list[Picture]:
    def fits(picture: Picture) -> bool:
        return picture.size[0] >= size[0] and picture.size[1] >= size[1]

    large = [picture for picture in pictures if fits(picture)]
    small = [picture for picture in pictures if not fits(picture)]
    if large and not small:
        return large
    if large and skip_small:
        names = "".join(f"\n  {picture.path}" for picture in small)
        logger.warning("Left out %d of %d pictures, which are too small:%s", len(small), len(pictures), names)
        return large
    example = f" ({small[0].path.name!r} is {small[0].size[1]}x{small[0].size[0]})" if small else ""
    raise DataError(
        f"{len(small)} of {len(pictures)} pictures are smaller than the crop of "
        f"{size[1]}x{size[0]} pixels{example}. Expected larger ones; choose a smaller size or skip_small."
    )


def _rgb(pixels: Pixels) -> Pixels:
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


# ---- objects ------------------------------------------------------------------------------------------------


class ObjectCrops:
    """Crops around single objects; an item is an object: a connected component of a mask (8-connectivity), or what the
    data set says is one.

    A crop holds its object completely, and no object pixel lies on the crop's border unless the picture ends there:
    a model that saw cut masks would paint objects with straight edges.

    Args:
        size: of the crops.
        scale: shrinks the pictures first, in (0, 1]; 1 leaves every pixel as it is.
        min_area: components of fewer pixels are noise, and erased from the mask.
        merge_distance: pieces at most this many pixels apart are one object; 1 means touching, diagonals included.
        skip_small: leave pictures smaller than the crop out; by default they are refused.
    """

    mask_channels = 1

    def __init__(
        self,
        pictures: Sequence[Picture],
        size: Size,
        scale: float = 1.0,
        min_area: int = 16,
        merge_distance: int = 4,
        skip_small: bool = False,
    ):
        scaled = [shrink(picture, scale) for picture in pictures]
        large = _large_enough(scaled, size, skip_small)
        self.size = size
        self.settings: dict[str, object] = {
            "scale": scale,
            "min_area": min_area,
            "merge_distance": merge_distance,
        }
        self.skipped = reasons(pictures) | {"smaller than the crop": len(scaled) - len(large), "specks": 0}
        self.skipped["too large or too close to others"] = 0
        self.pictures: list[Picture] = []
        self.items: list[tuple[Picture, Stored]] = []  # of each object, its picture and the corners of its crops
        for picture in large:
            self._add(picture, min_area, merge_distance)
        if not self.items:
            raise DataError(
                f"None of the {len(large)} pictures has an object that fits a crop of {size[1]}x{size[0]} pixels "
                f"({self.skipped}). Choose a larger size, a scale below 1 or a smaller min_area."
            )

    def _add(self, picture: Picture, min_area: int, merge_distance: int) -> None:
        objects = objects_of(picture, min_area, merge_distance)
        if objects.specks:
            picture = replace(picture, stored_mask=replaced(picture.stored_mask, objects.mask))
        self.skipped["specks"] += objects.specks
        for number in objects.numbers:
            make = partial(self._corners, picture, box_of(objects.labels == number))
            corners = remade(make, picture.stored_pixels)
            if corners.shape[0]:
                self.items.append((picture, corners))
            else:
                self.skipped["too large or too close to others"] += 1
        self.pictures.append(picture)

    def _corners(self, picture: Picture, box: Box) -> NDArray[np.intp]:
        mask = picture.mask
        assert mask is not None  # refused by objects_of
        return whole_crops(mask > 0, box, self.size)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def class_names(self) -> list[str | None]:
        return [picture.class_name for picture, _ in self.items]

    def cut(self, item: int, random: np.random.Generator) -> Pixels:
        place = self.place(item)
        return place.crop(place.corners[random.integers(len(place.corners))], self.size)

    def place(self, item: int) -> Place:
        picture, corners = self.items[item]
        return Place(picture.pixels, picture.mask, now(corners), picture.group, picture.class_name)


class Objects(NamedTuple):
    """The objects of a picture.

    Attributes:
        mask: (H, W), without specks.
        labels: (H, W), the number of the object or speck that owns the pixel; 0 for none.
        numbers: of the objects.
        specks: how many were erased.
    """

    mask: Pixels
    labels: NDArray[np.integer]
    numbers: list[int]
    specks: int


def objects_of(picture: Picture, min_area: int = 16, merge_distance: int = 4) -> Objects:
    """Tell the objects of a picture apart; arguments as for ObjectCrops."""
    if picture.mask is None:
        raise DataError(f"{picture.path.name!r} has no mask; objects are learned from pictures with masks.")
    mask, objects = picture.mask, picture.objects
    labels = label(mask > 127, merge_distance) if objects is None else objects
    areas = np.bincount(labels.ravel())
    specks = np.flatnonzero((areas[1:] > 0) & (areas[1:] < min_area)) + 1
    if len(specks):
        mask = np.where(np.isin(labels, specks), 0, mask).astype(np.uint8)
    return Objects(mask, labels, (np.flatnonzero(areas[1:] >= min_area) + 1).tolist(), len(specks))


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
