"""Folders of pictures, with or without masks."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmix_core.errors import did_you_mean
from dmix_core.image_files import is_turned

from .exceptions import DataError, some
from .layouts import Layout, Listing, Record, find, listing
from .layouts.base import no_pictures
from .layouts.image_mask import ImageMask
from .loader import LeftOut, Picture, Pictures, load, picture_of, pictures_of
from .mask_rules import parse
from .masks import Alpha, MaskFile
from .options import DataOptions, Part

if TYPE_CHECKING:
    from dmix_core.registry import Registry

logger = logging.getLogger(__name__)

_DEFAULTS = DataOptions()


def read_images(folder: str | Path, options: DataOptions = _DEFAULTS, registry: "Registry | None" = None) -> Pictures:
    """Read the pictures of a folder that a background is learned from, in the order of their names.

    These are the ones without an object where the data set names them, and all where it does not. They have no masks.

    Args:
        options: of these count `layout`, `split`, `every` and `on_error`.
        registry: which layouts there are; by default all that are installed.

    Raises:
        DataError: no such folder, or no pictures in it.
        ImageError: a picture that cannot be read; the message names it.
    """
    root = Path(folder)
    listed = listing(find(root, options.layout, registry).layout, root)
    records = [record for record in listed.records if record.normal] or listed.records
    if not records:
        raise no_pictures(root)
    if all(isinstance(record.mask, Alpha) for record in records):
        raise DataError(
            f"{str(root)!r} holds crops of objects; expected whole pictures. "
            "Learn the background from the data set that they were cut from."
        )
    chosen = thinned(_of_split(records, options.split, root), options.every, root)
    return _logged(load(chosen, lambda *record: [picture_of(*record)], options.on_error))


def read_pairs(folder: str | Path, options: DataOptions = _DEFAULTS, registry: "Registry | None" = None) -> Pictures:
    """Read the pictures of a folder that show objects, and their masks.

    Args:
        options: of these count all but those of crops: `scale`, `min_area`, `merge_distance` and `skip_small`. With
            `on_error` "skip", empty masks and classes of a single picture are left out, too.
        registry: which layouts there are; by default all that are installed.

    Raises:
        DataError: ambiguous pairs, pictures without a mask, sizes that differ, empty masks.
        ImageError: a file that cannot be read; the message names it.
    """
    root = Path(folder)
    listed = pairs_listing(root, pairs_layout(root, options, registry), options.mask_rule)
    if options.on_error == "fail":
        check_complete(listed, root)
    records = thinned(_of_split(with_objects(listed, root), options.split, root), options.every, root)
    loaded = load(_may_show(records, options.classes), pictures_of, options.on_error)
    known = {name for record in records for name in record.class_names or ()}
    chosen = Pictures(of_classes(loaded, options.classes, known), loaded.left_out)
    full = _without_empty(chosen, options.leaves_out_empty)
    _warn_of_turned(full)
    if options.on_error == "skip":
        full = _without_lonely(full)
        full.left_out += incomplete(listed)
    return _logged(full)


def pairs_layout(root: Path, options: DataOptions, registry: "Registry | None" = None) -> Layout:
    """How pictures and masks of a folder find each other; a mask suffix means by their names."""
    if options.mask_suffix is not None:
        return ImageMask(options.mask_suffix)
    return find(root, options.layout, registry).layout


def pairs_listing(root: Path, layout: Layout, mask_rule: str | None = None) -> Listing:
    """A folder's records, their masks to be read by a rule that may differ from the layout's own."""
    listed = listing(layout, root)
    return listed if mask_rule is None else _ruled(listed, mask_rule, layout)


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


def incomplete(listing: Listing) -> list[LeftOut]:
    """What `check_complete` refuses."""
    lacking = {"no mask": listing.maskless, "a mask without a picture": listing.orphans}
    lacking["listed, but not there"] = listing.missing
    return [LeftOut(path, why, why) for why, paths in lacking.items() for path in paths]


def thinned(records: Sequence[Record], every: int, root: Path) -> list[Record]:
    """Of the pictures of each group every so many-th one, beginning with the first.

    Raises:
        DataError: there are no groups.
    """
    if every > 1 and all(record.group is None for record in records):
        raise DataError(
            f"every is {every}, but {str(root)!r} has no groups of pictures of one thing, such as the frames of a "
            "clip, that its layout knows of. Expected 1; move pictures that are nearly the same away."
        )
    numbers: Counter[str] = Counter()
    chosen = []
    for record in records:
        if numbers[record.group_name] % every == 0:
            chosen.append(record)
        numbers[record.group_name] += 1
    return chosen


def _may_show(records: list[Record], classes: Sequence[str] | None) -> list[Record]:
    """The records that may show one of these classes; if none does, all of them."""
    if classes is None:
        return records
    return [each for each in records if each.class_names is None or each.class_names & {*classes}] or records


def of_classes(pictures: Sequence[Picture], classes: Sequence[str] | None, known: Iterable[str] = ()) -> list[Picture]:
    """The pictures of these classes, or all of them.

    Args:
        known: classes of the data set beside those that these pictures show.

    Raises:
        DataError: a class that no picture shows.
    """
    shown = {picture.class_name for picture in pictures if picture.class_name}
    missing = [name for name in classes or () if name not in shown]
    if missing:
        names = sorted(shown | {*known})
        raise DataError(
            f"No picture shows the class {missing[0]!r}.{did_you_mean(missing[0], names)} "
            f"Expected some of: {', '.join(names) or 'none, the data set names no classes'}."
        )
    return [picture for picture in pictures if classes is None or picture.class_name in classes]


def check_classes(pictures: Sequence[Picture]) -> None:
    """Refuse a class that only one picture shows: a model of it could only repeat that picture.

    Raises:
        DataError: naming these classes.
    """
    lonely = [name or "object" for name in lonely_classes(pictures)]
    if lonely:
        raise DataError(
            f"The class {', '.join(map(repr, lonely))} has only one picture; expected at least two of each class. "
            "Add pictures, or leave the class out."
        )


def lonely_classes(pictures: Sequence[Picture]) -> list[str | None]:
    """The classes that only one picture shows."""
    counts = Counter(picture.class_name for picture in pictures)
    return [name for name, count in counts.items() if count < 2]


def _of_split(records: Sequence[Record], split: Part, root: Path) -> list[Record]:
    """The records of one part; what is not divided is all for training."""
    chosen = [record for record in records if split == "all" or (record.split or "train") == split]
    if chosen or not records:
        return chosen
    parts = sorted({record.split or "train" for record in records})
    raise DataError(
        f"All {len(records)} such pictures in {str(root)!r} are in the part {' or '.join(map(repr, parts))} of the "
        f"data set; expected some in {split!r}. What a model has learned from must not be used to judge it: "
        f"name the split {parts[0]!r} to learn from all of them, or set some aside with `dmix data crops --hold-out`."
    )


def _without_empty(pictures: Pictures, skip: bool) -> Pictures:
    """Take out what shows no object; refuse it unless that was asked for, and anyway if nothing is left."""
    shows = [picture.mask is not None and bool(picture.mask.any()) for picture in pictures]
    full = [picture for picture, whether in zip(pictures, shows, strict=True) if whether]
    empty = [picture for picture, whether in zip(pictures, shows, strict=True) if not whether]
    if empty and not (skip and full):
        masks = [Path(picture.source.mask.name) for picture in empty if picture.source and picture.source.mask]
        rule = empty[0].source and empty[0].source.mask and empty[0].source.mask.rule
        raise DataError(
            f"{len(empty)} of {len(pictures)} masks show no object under the rule {rule!r}{some(masks)}. "
            "Try another mask_rule (nonzero, threshold:N, index:N), skip_empty, or move these pictures away."
        )
    why = "the mask shows no object"
    return Pictures(full, [*pictures.left_out, *(LeftOut(picture.path, why, why) for picture in empty)])


def _without_lonely(pictures: Pictures) -> Pictures:
    """Take out classes that only one picture shows, unless nothing would be left."""
    lonely = lonely_classes(pictures)
    rest = [picture for picture in pictures if picture.class_name not in lonely]
    if not rest:
        return pictures
    why = "the only picture of its class"
    alone = [LeftOut(picture.path, why, why) for picture in pictures if picture.class_name in lonely]
    return Pictures(rest, [*pictures.left_out, *alone])


def _warn_of_turned(pictures: Sequence[Picture]) -> None:
    """Name pictures that EXIF turns, but not their masks, where the sizes do not show whether that fits."""
    sources = [picture.source for picture in pictures if picture.source]
    masks = [(source.image, source.mask.path) for source in sources if isinstance(source.mask, MaskFile)]
    turned = [image for image, mask in masks if is_turned(image) and not is_turned(mask)]
    if turned:
        logger.warning(
            "%d pictures are turned upright by EXIF and their masks are not%s. The masks are taken as drawn on upright "
            "pictures; look at some with `dmix data inspect DIR -o sheet.png`.",
            len(turned),
            some(turned),
        )


def _logged(pictures: Pictures) -> Pictures:
    if pictures.left_out:
        lines = "".join(f"\n  {left.path}: {left.why}" for left in pictures.left_out)
        total = len(pictures) + len(pictures.left_out)
        logger.warning("Left out %d of %d pictures:%s", len(pictures.left_out), total, lines)
    return pictures
