"""Folders of pictures, with or without masks."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmix_core.errors import DmixError, ImageError, did_you_mean
from dmix_core.images import decode
from dmix_core.images import read_pixels as image_pixels

from .files import DataError, Pixels, some
from .layouts import Layout, Listing, Record, Split, find
from .layouts.general import General
from .masks import Alpha, Found, MaskFile, parse
from .memory import Recent, Stored, digest_of, now, packed, read

__all__ = ["DataError", "LeftOut", "Loaded", "OnError", "Part", "Picture", "Pixels", "read_images", "read_pairs"]

OnError = Literal["fail", "skip"]
Part = Split | Literal["all"]

THREADS = min(8, os.cpu_count() or 1)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture: pixels (H, W, 1) uint8 if grey, (H, W, 3) otherwise.

    Attributes:
        path: the file that it came from.
        stored_pixels, stored_mask, stored_objects: `pixels`, `mask` and `objects`, or how to have them again.
        class_name: of its objects; None where the data set names none.
        source: where its data set has it; None for a picture that came from elsewhere.
    """

    path: Path
    stored_pixels: Stored
    stored_mask: Stored | None = None
    stored_objects: Stored | None = None
    class_name: str | None = None
    source: Record | None = None

    @property
    def pixels(self) -> Pixels:
        return now(self.stored_pixels)

    @property
    def mask(self) -> Pixels | None:
        """(H, W) uint8, 255 where objects are; None without a mask."""
        return None if self.stored_mask is None else now(self.stored_mask)

    @property
    def objects(self) -> NDArray[np.integer] | None:
        """(H, W), the number 1, 2, ... of the object that owns the pixel, 0 for none; None: each connected part of
        the mask is an object.
        """
        return None if self.stored_objects is None else now(self.stored_objects)

    @property
    def digest(self) -> bytes:
        """Of all that can be learned from it, as it was read."""
        stored = (self.stored_pixels, self.stored_mask, self.stored_objects)
        digests = [b"none" if each is None else digest_of(each) for each in stored]
        return blake2b(b" ".join([*digests, str(self.class_name).encode()]), digest_size=16).digest()

    @property
    def grey(self) -> bool:
        return self.stored_pixels.shape[2] == 1

    @property
    def size(self) -> tuple[int, int]:
        return self.stored_pixels.shape[0], self.stored_pixels.shape[1]

    @property
    def group(self) -> str:
        """Pictures of one thing share it; a picture that stands alone has its own."""
        return str(self.path) if self.source is None else self.source.group_name


class LeftOut(NamedTuple):
    """A file that was left out, and why."""

    path: Path
    why: str


class Loaded(NamedTuple):
    """Pictures, and the files that could not be taken."""

    pictures: list[Picture]
    left_out: list[LeftOut]


# ---- folders ------------------------------------------------------------------------------------------------


def read_images(
    folder: str | Path, *, layout: str | None = None, split: Part | None = None, on_error: OnError = "fail"
) -> list[Picture]:
    """Read the pictures of a folder that a background is learned from, in the order of their names.

    These are the ones without an object where the data set tells, and all of them where it does not; masks are none.

    Args:
        layout: how the folder is laid out; by default that is found out.
        split: which part of a divided data set; by default "train".
        on_error: "skip" leaves files out that cannot be read, and logs which.

    Raises:
        DataError: no such folder, or no pictures in it.
        ImageError: a picture that cannot be read; the message names it.
    """
    root = Path(folder)
    listing = find(root, layout).layout.read(root)
    records = [record for record in listing.records if record.normal] or listing.records
    if records and all(isinstance(record.mask, Alpha) for record in records):
        raise DataError(
            f"{str(root)!r} holds crops of objects; expected whole pictures. "
            "Learn the background from the data set that they were cut from."
        )
    chosen = _of_split(records, split, root)
    return _told(load(chosen, lambda *record: [picture_of(*record)], on_error), len(chosen))


def read_pairs(
    folder: str | Path,
    mask_rule: str | None = None,
    mask_suffix: str | None = None,
    skip_empty: bool = False,
    *,
    layout: str | None = None,
    split: Part | None = None,
    classes: Sequence[str] | None = None,
    on_error: OnError = "fail",
) -> list[Picture]:
    """Read the pictures of a folder that show objects, and their masks.

    Args:
        mask_rule: which mask values are the object, see MaskFile; by default what the layout declares, which is
            "threshold:127" for pictures and masks that are matched by name.
        mask_suffix: what a mask's stem has after its picture's, where these are matched by name; by default nothing,
            "_mask", "_label", "_gt" or "_GT".
        skip_empty: leave pictures with an empty mask out; by default they are refused.
        layout: how the folder is laid out; by default that is found out.
        split: which part of a divided data set; by default "train".
        classes: which classes; by default all.
        on_error: "skip" leaves out what cannot be read or does not fit together, empty masks too, and logs which.

    Raises:
        DataError: ambiguous pairs, pictures without a mask, sizes that differ, empty masks.
        ImageError: a file that cannot be read; the message names it.
    """
    root = Path(folder)
    listing = pairs_listing(root, pairs_layout(root, mask_suffix, layout), mask_rule)
    if on_error == "fail":
        check_complete(listing, root)
    records = _of_split(with_objects(listing, root), split, root)
    loaded = load(records, pictures_of, on_error)
    loaded = loaded._replace(pictures=of_classes(loaded.pictures, classes))
    return _told(_without_empty(loaded, skip_empty or on_error == "skip"), len(records))


def pairs_layout(root: Path, mask_suffix: str | None = None, layout: str | None = None) -> Layout:
    """How pictures and masks of a folder find each other; a mask suffix means by their names."""
    return General(mask_suffix) if mask_suffix is not None else find(root, layout).layout


def pairs_listing(root: Path, layout: Layout, mask_rule: str | None = None) -> Listing:
    """A folder's records, their masks to be read by a rule that may differ from the layout's own."""
    listing = layout.read(root)
    return listing if mask_rule is None else _ruled(listing, mask_rule, layout)


def _ruled(listing: Listing, rule: str, layout: Layout) -> Listing:
    parse(rule)
    if not any(isinstance(record.mask, MaskFile) for record in listing.records):
        raise DataError(f"The layout {layout.name!r} has no mask files that the rule {rule!r} could be applied to.")

    def ruled(record: Record) -> Record:
        return replace(record, mask=replace(record.mask, rule=rule)) if isinstance(record.mask, MaskFile) else record

    return replace(listing, records=[ruled(record) for record in listing.records])


def with_objects(listing: Listing, root: Path) -> list[Record]:
    """The pictures that show objects and have masks.

    Raises:
        DataError: there are none.
    """
    records = [record for record in listing.records if record.mask and not record.normal]
    if not records:
        raise DataError(
            f"None of the {len(listing.records)} pictures in {str(root)!r} has a mask with objects; expected some. "
            "Look at the folder with `dmix data inspect`, or train a background on it."
        )
    return records


def check_complete(listing: Listing, root: Path) -> None:
    """Refuse pictures of objects without a mask, masks without a picture, and files that only a list knows."""
    unmasked = [record.image for record in listing.records if not record.mask and not record.normal]
    bare = listing.maskless or ([] if any(record.mask for record in listing.records) else unmasked)
    if bare:
        raise DataError(
            f"{len(bare)} pictures in {str(root)!r} have no mask{some(bare)}. Expected images/X.* with masks/X.*, "
            "X.jpg beside X.png, or X.* beside X_mask.*; move the others away, or name the mask_suffix."
        )
    if listing.orphans:
        raise DataError(
            f"{len(listing.orphans)} masks in {str(root)!r} have no picture{some(listing.orphans)}. "
            "Expected one picture for each mask; move them away, or leave them out with on_error 'skip'."
        )
    if listing.missing:
        raise DataError(
            f"{len(listing.missing)} files that {str(root)!r} lists are not there{some(listing.missing)}. "
            "Expected all of them; complete the copy, or leave them out with on_error 'skip'."
        )


def of_classes(pictures: Sequence[Picture], classes: Sequence[str] | None) -> list[Picture]:
    """The pictures of these classes, or all of them.

    Raises:
        DataError: a class that no picture shows.
    """
    known = sorted({picture.class_name for picture in pictures if picture.class_name})
    unknown = [name for name in classes or () if name not in known]
    if unknown:
        raise DataError(
            f"No picture shows the class {unknown[0]!r}.{did_you_mean(unknown[0], known)} "
            f"Expected some of: {', '.join(known) or 'none, the data set names no classes'}."
        )
    return [picture for picture in pictures if classes is None or picture.class_name in classes]


def check_classes(pictures: Sequence[Picture]) -> None:
    """Refuse a class that only one picture shows: a model of it could only repeat that picture.

    Raises:
        DataError: naming these classes.
    """
    counts = Counter(picture.class_name for picture in pictures)
    lonely = [name or "object" for name, count in counts.items() if count < 2]
    if lonely:
        raise DataError(
            f"The class {', '.join(map(repr, lonely))} has only one picture; expected at least two of each class. "
            "Add pictures, or leave the class out."
        )


def _of_split(records: Sequence[Record], split: Part | None, root: Path) -> list[Record]:
    """The records of one part; what is not divided is all for training."""
    chosen = [record for record in records if split == "all" or (record.split or "train") == (split or "train")]
    if chosen or not records:
        return chosen
    parts = sorted({record.split or "train" for record in records})
    raise DataError(
        f"All {len(records)} such pictures in {str(root)!r} are in the part {' or '.join(map(repr, parts))} of the "
        f"data set; expected some in {split or 'train'!r}. What a model has learned from must not be used to judge it: "
        f"name the split {parts[0]!r} to learn from all of them, or set some aside with `dmix data crops --hold-out`."
    )


def _without_empty(loaded: Loaded, skip: bool) -> Loaded:
    """Take out what shows no object; refuse it unless that was asked for, and anyway if nothing is left."""
    full = [picture for picture in loaded.pictures if picture.mask is not None and picture.mask.any()]
    empty = [picture for picture in loaded.pictures if picture.mask is None or not picture.mask.any()]
    if empty and not (skip and full):
        masks = [Path(picture.source.mask.name) for picture in empty if picture.source and picture.source.mask]
        rule = empty[0].source and empty[0].source.mask and empty[0].source.mask.rule
        raise DataError(
            f"{len(empty)} of {len(loaded.pictures)} masks show no object under the rule {rule!r}{some(masks)}. "
            "Try another mask_rule (nonzero, threshold:N, index:N), skip_empty, or move these pictures away."
        )
    return Loaded(full, [*loaded.left_out, *(LeftOut(picture.path, "the mask shows no object") for picture in empty)])


def _told(loaded: Loaded, total: int) -> list[Picture]:
    if loaded.left_out:
        lines = "".join(f"\n  {path}: {why}" for path, why in loaded.left_out)
        logger.warning("Left out %d of %d pictures:%s", len(loaded.left_out), total, lines)
    return loaded.pictures


# ---- files --------------------------------------------------------------------------------------------------


Reader = Callable[[Record, Recent], list[Picture]]


def load(records: Sequence[Record], reader: Reader, on_error: OnError = "fail") -> Loaded:
    """Read records, several at a time; with "skip", failures are kept beside what could be read.

    What does not fit into the memory is read again when it is needed.

    Raises:
        DataError: nothing could be read.
    """
    recent = Recent()

    def attempt(record: Record) -> list[Picture] | DmixError:
        try:
            return reader(record, recent)
        except (DataError, ImageError) as error:
            return error

    loaded = Loaded([], [])
    with ThreadPoolExecutor(THREADS) as pool:
        for record, result in zip(records, pool.map(attempt, records)):
            if not isinstance(result, DmixError):
                loaded.pictures.extend(result)
            elif on_error == "skip":
                loaded.left_out.append(LeftOut(record.image, str(result)))
            else:
                pool.shutdown(cancel_futures=True)
                raise result
    if loaded.left_out and not loaded.pictures:
        raise DataError(f"None of {len(loaded.left_out)} pictures can be used. The first: {loaded.left_out[0].why}")
    return loaded


def pictures_of(record: Record, recent: Recent | None = None) -> list[Picture]:
    """A record's picture with its mask, once for each class that the mask shows."""
    return with_mask(picture_of(record, recent), record, recent)


def picture_of(record: Record, recent: Recent | None = None) -> Picture:
    """A record's picture without its mask; in memory, or kept where `recent` says."""
    reader = partial(_opaque if isinstance(record.mask, Alpha) else read_pixels, record.image)
    pixels = reader() if recent is None else read(reader, str(record.image), recent)
    return Picture(record.image, pixels, class_name=record.class_name, source=record)


def with_mask(picture: Picture, record: Record, recent: Recent | None = None) -> list[Picture]:
    """A picture with its record's mask, once for each class that the mask shows."""
    found = record.mask.read() if record.mask else []
    for each in found:
        _check_size(record, picture, each.mask)
    names = dict.fromkeys(each.class_name for each in found)
    return [_masked(picture, [each for each in found if each.class_name == name], recent) for name in names]


def _masked(picture: Picture, found: Sequence[Found], recent: Recent | None) -> Picture:
    """A picture with the objects of one class."""

    def stored(array: NDArray) -> Stored:
        return array if recent is None else packed(array, recent)

    mask = np.maximum.reduce([each.mask for each in found])
    masked = replace(picture, stored_mask=stored(mask), class_name=found[0].class_name or picture.class_name)
    if not any(each.whole for each in found):
        return masked
    objects = np.zeros(mask.shape, np.int32)
    for number, each in enumerate(found, 1):
        objects[each.mask > 127] = number
    return replace(masked, stored_objects=stored(objects))


def _check_size(record: Record, picture: Picture, mask: Pixels) -> None:
    if mask.shape != picture.size:
        raise DataError(
            f"{record.image.name!r} is {picture.size[1]}x{picture.size[0]} pixels, but its mask "
            f"{record.mask and record.mask.name!r} is {mask.shape[1]}x{mask.shape[0]}. "
            "Expected equal sizes; export the mask again from this picture."
        )


def read_pixels(path: Path) -> Pixels:
    """A picture (H, W, 3) uint8, or (H, W, 1) if it is grey, however it is stored."""
    return _squeezed(image_pixels(path))


def _opaque(path: Path) -> Pixels:
    return _squeezed(np.asarray(decode(path).convert("RGB")))


def _squeezed(pixels: Pixels) -> Pixels:
    grey = bool((pixels == pixels[..., :1]).all())
    return np.ascontiguousarray(pixels[..., :1] if grey else pixels)
