"""What a model learns from: windows and object crops at the pictures' own scale, image and mask cut as one."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmix_core.geometry import Box

from .arrays import Pixels, Size
from .exceptions import DataError
from .loader import Picture, reasons
from .memory import Stored, derived, now, remade, replaced
from .objects import box_of, covered, objects_of, part_crops, whole_crops
from .options import FILTERS, OBJECTS, DataOptions
from .readers import check_classes, read_images, read_pairs

logger = logging.getLogger(__name__)

_DEFAULTS = DataOptions()

NONE = "none"
"""The class of windows that show no object, see `Pairs`."""
OBJECT = "object"
"""The class of all objects beside these, where no classes were chosen."""


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


class Part:
    """Some of the items of crops, with all of their pictures."""

    def __init__(self, crops: Crops, items: Sequence[int]):
        self.crops, self.items = crops, items
        self.size, self.mask_channels = crops.size, crops.mask_channels
        self.pictures, self.skipped, self.settings = crops.pictures, crops.skipped, crops.settings

    def __len__(self) -> int:
        return len(self.items)

    @property
    def class_names(self) -> list[str | None]:
        names = self.crops.class_names
        return [names[item] for item in self.items]

    def cut(self, item: int, random: np.random.Generator) -> Pixels:
        return self.crops.cut(self.items[item], random)

    def place(self, item: int) -> Place:
        return self.crops.place(self.items[item])


def is_grey(crops: Crops) -> bool:
    return all(picture.grey for picture in crops.pictures)


def has_pairs(crops: Crops) -> bool:
    """Whether they are `Pairs`, or a part of these."""
    return bool(crops.settings.get("pairs"))


def show_objects(crops: Crops) -> list[bool]:
    """Of each item, whether it is one that shows an object: all are but the windows of `Pairs`."""
    paired = has_pairs(crops)
    return [not (paired and name == NONE) for name in crops.class_names]


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
        options: `scale` shrinks the pictures first; those smaller than the window are refused, or left out.
    """

    mask_channels = 0

    def __init__(self, pictures: Sequence[Picture], size: Size, options: DataOptions = _DEFAULTS):
        scaled = [shrink(picture, options.scale) for picture in pictures]
        self.size = size
        self.settings: dict[str, object] = {"scale": options.scale}
        self.pictures = _large_enough(scaled, size, options.leaves_out_small)
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
    """A picture and its mask made smaller by one factor in (0, 1]; the mask's edge becomes soft."""
    if scale == 1:
        return picture
    size = max(1, round(picture.size[0] * scale)), max(1, round(picture.size[1] * scale))
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
    data set states is one.

    A crop holds its object completely, and no object pixel lies on the crop's border unless the picture ends there:
    a model that saw cut masks would paint objects with straight edges. Of objects for which there is no such crop,
    `large_objects` takes parts.

    Args:
        size: of the crops.
        options: `scale` shrinks the pictures first; those smaller than the crop are refused, or left out; parts of a
            mask smaller than `min_area` are erased; parts at most `merge_distance` apart are one object;
            `split_touching` splits them, and `FILTERS` leave objects out.

    Raises:
        DataError: pictures that are too small, or none with an object that fits a crop.
    """

    mask_channels = 1

    def __init__(self, pictures: Sequence[Picture], size: Size, options: DataOptions = _DEFAULTS):
        scaled = [shrink(picture, options.scale) for picture in pictures]
        large = _large_enough(scaled, size, options.leaves_out_small)
        self.size = size
        self.settings: dict[str, object] = options.model_dump(include={"scale", "min_area", "merge_distance"})
        self.settings |= options.model_dump(include={*OBJECTS}, exclude_defaults=True)  # earlier states lack the others
        self.skipped = reasons(pictures) | {"smaller than the crop": len(scaled) - len(large), "specks": 0}
        self.skipped["too large or too close to others"] = 0
        self.pictures: list[Picture] = []
        self.masks: dict[Picture, Stored | None] = {}  # of each picture, with specks
        self.items: list[tuple[Picture, Stored]] = []  # of each object, its picture and the corners of its crops
        self._largest_speck = self._filtered = 0
        for picture in large:
            self._add(picture, options)
        if not self.items:
            raise DataError(self._why_none(options))

    def _add(self, picture: Picture, options: DataOptions) -> None:
        objects, mask = objects_of(picture, options), picture.stored_mask
        if objects.specks:
            picture = replace(picture, stored_mask=replaced(picture.stored_mask, objects.mask))
        self.skipped["specks"] += len(objects.specks)
        for why, count in objects.left_out.items():
            self.skipped[why] = self.skipped.get(why, 0) + count
            self._filtered += count
        self._largest_speck = max(self._largest_speck, *objects.specks, 0)
        for number in objects.numbers:
            make = partial(self._corners, picture, box_of(objects.labels == number), options)
            corners = remade(make, picture.stored_pixels)
            if corners.shape[0]:
                self.items.append((picture, corners))
            else:
                self.skipped["too large or too close to others"] += 1
        self.pictures.append(picture)
        self.masks[picture] = mask

    def _why_none(self, options: DataOptions) -> str:
        specks, others = self.skipped["specks"], self.skipped["too large or too close to others"]
        why = [f"{others} are too large or too close to others"] if others else []
        if specks:
            area = f"min_area, {options.min_area} pixels; the largest of these has {self._largest_speck}"
            why.append(f"{specks} are smaller than {area}")
        if self._filtered:
            why.append(f"{self._filtered} are left out by {', '.join(FILTERS)}")
        return (
            f"None of the {len(self.pictures)} pictures has an object that fits a crop of "
            f"{self.size[1]}x{self.size[0]} pixels: {', '.join(why) or 'they show none'}. "
            "Choose a larger size, a scale below 1, a smaller min_area, or large_objects parts."
        )

    def _corners(self, picture: Picture, box: Box, options: DataOptions) -> NDArray[np.intp]:
        mask = picture.mask
        assert mask is not None  # refused by objects_of
        whole = whole_crops(mask > 0, box, self.size)
        if len(whole) or options.large_objects == "leave-out":
            return whole
        return part_crops(mask > 0, box, self.size, options.min_area)

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


# ---- pairs --------------------------------------------------------------------------------------------------


WITHOUT_WINDOW = "without a window free of objects"


class Pairs:
    """Object crops, and with each a second item: a window of the same photograph that shows no pixel of any object.

    The items of the crops come first, in their order, and then the windows, in the order of their objects. A window is
    cut at a random place, at the scale of the crops; it is of the class `NONE`, and of its object's group. Objects of
    classes that are not learned are kept out of it, too, and so are parts of a mask that are too small to be learned.
    An object whose photograph has no such window stays alone, and is counted in `skipped`.

    Args:
        together: whether all objects are of one class, `OBJECT`, whatever the data set calls them.

    Raises:
        DataError: a class of the data set is called `NONE`, or no photograph has such a window.
    """

    def __init__(self, crops: ObjectCrops, together: bool = False):
        self.crops, self.size, self.mask_channels = crops, crops.size, crops.mask_channels
        self.pictures = crops.pictures
        self.settings: dict[str, object] = crops.settings | {"pairs": True}
        self._names = [OBJECT] * len(crops) if together else crops.class_names
        _check_unused(NONE, crops)
        free = {picture: _free(picture, mask, self.size) for picture, mask in crops.masks.items()}
        having = {picture for picture, windows in free.items() if now(windows).any()}
        self.windows = [(picture, free[picture]) for picture, _ in crops.items if picture in having]
        self.skipped = crops.skipped | {WITHOUT_WINDOW: len(crops) - len(self.windows)}
        self._tell()

    def __len__(self) -> int:
        return len(self.crops) + len(self.windows)

    @property
    def class_names(self) -> list[str | None]:
        return [*self._names, *[NONE] * len(self.windows)]

    def cut(self, item: int, random: np.random.Generator) -> Pixels:
        if item < len(self.crops):
            return self.crops.cut(item, random)
        picture, free = self.windows[item - len(self.crops)]
        places = np.flatnonzero(now(free))
        corner = divmod(int(places[random.integers(len(places))]), free.shape[1])
        return _place(picture, np.array([corner])).crop(corner, self.size)

    def place(self, item: int) -> Place:
        if item < len(self.crops):
            return replace(self.crops.place(item), class_name=self._names[item])
        picture, free = self.windows[item - len(self.crops)]
        return _place(picture, np.argwhere(now(free)))

    def _tell(self) -> None:
        alone, (h, w) = self.skipped[WITHOUT_WINDOW], self.size
        if not self.windows:
            raise DataError(
                f"No photograph of the {alone} objects has a window of {w}x{h} pixels free of objects; expected some, "
                "to learn what objects stand on. Choose a smaller size, or leave out pairs."
            )
        if alone:
            logger.warning(
                "%d of %d objects are learned without a window free of objects: their photographs have none of %dx%d "
                "pixels.",
                *(alone, len(self.crops), w, h),
            )


def _check_unused(name: str, crops: ObjectCrops) -> None:
    if count := crops.class_names.count(name):
        raise DataError(
            f"{count} of {len(crops)} objects are of the class {name!r}, which pairs give to windows free of objects; "
            "expected another name. Rename the class in the data, choose others as classes, or leave out pairs."
        )


def _free(picture: Picture, mask: Stored | None, size: Size) -> Stored:
    """(H - h + 1, W - w + 1) bool, by their top-left corners, which windows show no object of the photograph."""
    assert mask is not None  # refused by objects_of
    shown = now(mask) > 0
    source = picture.source.mask if picture.source else None
    for found in source.read() if source else []:  # those of other classes lie in no mask of this picture
        shown |= now(_resized(found.mask, picture.size)) > 0
    return replaced(mask, covered(shown, size) == 0)


def _place(picture: Picture, corners: NDArray[np.intp]) -> Place:
    return Place(picture.pixels, picture.mask, corners, picture.group, NONE)


# ---- folders ------------------------------------------------------------------------------------------------


def background_crops(folder: str | Path, size: Size, options: DataOptions = _DEFAULTS) -> Windows:
    """What a background is learned from: windows of a folder's pictures; errors as for `read_images`."""
    return Windows(read_images(folder, options), size, options)


def object_crops(folder: str | Path, size: Size, options: DataOptions = _DEFAULTS) -> ObjectCrops | Pairs:
    """What objects are learned from: crops of a folder's pictures and masks; errors as for `read_pairs` and `Pairs`."""
    pairs = read_pairs(folder, options)
    check_classes(pairs)
    crops = ObjectCrops(pairs, size, options)
    return Pairs(crops, together=options.classes is None) if options.pairs else crops
