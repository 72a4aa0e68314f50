"""Objects cut out of a data set: RGBA pictures whose alpha is the mask, and a line of JSON for each."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmix_core.errors import ImageError
from dmix_core.files import writable_folder, write_atomically
from dmix_core.geometry import Box
from dmix_core.images import write_png

from .arrays import Pixels, Size
from .exceptions import DataError
from .layouts import Record
from .loader import Picture, pictures_of
from .manifest import MANIFEST, CropEntry
from .objects import box_of, objects_of, whole_crops
from .options import CutoutOptions, DataOptions, Split
from .readers import check_complete, incomplete, pairs_layout, pairs_listing, thinned, with_objects

if TYPE_CHECKING:
    from dmix_core.registry import Registry

LONGEST_NAME = 60
"""Characters of a class's name in that of its folder; file systems take 255 bytes."""


class Cut(NamedTuple):
    """What was cut out of a data set, and what was not and why."""

    entries: list[CropEntry]
    left_out: dict[str, int]
    failed: list[tuple[Path, str]]


class Portion(NamedTuple):
    """The pictures of a group in one part of the data set."""

    group: str
    source_split: Split | None


class Window(NamedTuple):
    """A cut: where it lies in the source, its pixels (h, w, 4) and the share that is padding."""

    box: Box
    pixels: Pixels
    padding: float


class _NotCut(Exception):
    """Why an object is left out."""


def cut_objects(
    folder: str | Path,
    out: str | Path,
    cutout: CutoutOptions | None = None,
    options: DataOptions | None = None,
    *,
    seen: Callable[[], object] = lambda: None,
    registry: "Registry | None" = None,
) -> Cut:
    """Cut every object of a data set out into OUT/CLASS/NUMBER.png; OUT/crops.jsonl is written last.

    Args:
        options: all parts of the data set are cut; `split`, `scale`, `skip_small` and `skip_empty` do not count.
        seen: called after each picture.
        registry: which layouts there are; by default all that are installed.

    Raises:
        DataError: nothing to cut, pictures and masks that do not fit together, or crops are there already.
        ImageError: a file that cannot be read.
    """
    root, out = Path(folder), Path(out)
    cutout, options = cutout or CutoutOptions(), options or DataOptions()
    layout = pairs_layout(root, options, registry)
    listing = pairs_listing(root, layout, options.mask_rule)
    if options.on_error == "fail":
        check_complete(listing, root)
    records = thinned(with_objects(listing, root), options.every, root)
    if (out / MANIFEST).exists():
        raise DataError(f"{str(out)!r} holds crops already; expected a new folder, or move {MANIFEST} away.")
    writable_folder(out)
    cutter = _Cutter(_Source(root, layout.name, divide_groups(records, root, cutout)), out, cutout, options)
    cut = cutter.run(records, seen)
    cut.failed.extend((left.path, left.why) for left in incomplete(listing) if options.on_error == "skip")
    if not cut.entries:
        raise DataError(f"No object of {len(records)} pictures in {str(root)!r} was cut out{_reasons(cut)}.")
    lines = "".join(f"{entry.model_dump_json()}\n" for entry in cut.entries)
    write_atomically(out / MANIFEST, lines.encode())
    return cut


def divide_groups(records: Sequence[Record], root: Path, cutout: CutoutOptions) -> dict[Portion, Split]:
    """The part that each portion is for: as the data set has it, or with some groups held out for testing.

    Groups are drawn for each set of classes that a group shows, so that few classes are left out of a part.
    """
    classes: defaultdict[Portion, set[str]] = defaultdict(set)
    for record in records:
        classes[portion_of(record, root)].add(record.class_name or "")
    splits: dict[Portion, Split] = {portion: portion.source_split or "train" for portion in classes}
    if not cutout.hold_out:
        return splits
    alike: defaultdict[tuple[str, ...], list[Portion]] = defaultdict(list)
    for portion in [each for each in splits if splits[each] == "train"] or splits:
        alike[tuple(sorted(classes[portion]))].append(portion)
    for portions in alike.values():
        count = min(max(1, round(cutout.hold_out * len(portions))), len(portions) - 1)
        drawn = sorted(portions, key=lambda each: blake2b(f"{cutout.seed} {each.group}".encode()).digest())
        splits.update((each, "test" if rank < count else "train") for rank, each in enumerate(drawn))
    return splits


def portion_of(record: Record, root: Path) -> Portion:
    alone = record.image.relative_to(root).as_posix()
    return Portion(alone if record.group is None else record.group, record.split)


class _Source(NamedTuple):
    """Where the objects are from: the data set's folder and layout, and the part that each portion is for."""

    root: Path
    layout: str
    splits: dict[Portion, Split]


class _Cutter:
    def __init__(self, source: _Source, out: Path, cutout: CutoutOptions, options: DataOptions) -> None:
        self.source, self.out, self.cutout, self.options = source, out, cutout, options
        self.counts: Counter[str] = Counter()
        self.cut = Cut([], {}, [])

    def run(self, records: Sequence[Record], seen: Callable[[], object]) -> Cut:
        for record in records:
            seen()
            try:
                pictures = pictures_of(record)
            except (DataError, ImageError) as error:
                if self.options.on_error == "fail":
                    raise
                self.cut.failed.append((record.image, str(error)))
                continue
            for picture in pictures:
                if self.options.classes is None or picture.class_name in self.options.classes:
                    self._cut_picture(picture, record)
        return self.cut

    def _cut_picture(self, picture: Picture, record: Record) -> None:
        objects = objects_of(picture, self.options)
        for why, count in objects.left_out.items():
            self._leave_out(why, count)
        if not objects.numbers and not objects.left_out:
            whys = [f"smaller than min_area ({self.options.min_area} pixels)"] * len(objects.specks)
            for why in whys or ["the mask shows no object"]:
                self._leave_out(why)
        checksum = sha256(record.image.read_bytes()).hexdigest()
        for number in objects.numbers:
            mine = objects.labels == number
            random = self._random(record, picture.class_name, number)
            try:
                window = cut_window(picture.pixels, objects.mask, mine, self.cutout, random)
            except _NotCut as why:
                self._leave_out(str(why))
            else:
                self._write(window, box_of(mine), picture, record, checksum)

    def _write(self, window: Window, box: Box, picture: Picture, record: Record, checksum: str) -> None:
        class_name = picture.class_name or "object"
        folder = re.sub(r"[^\w-]+", "_", class_name)[:LONGEST_NAME]
        file = Path(folder, f"{self.counts[folder]:06d}.png")
        self.counts[folder] += 1
        (self.out / folder).mkdir(exist_ok=True)
        crop = resized(window.pixels, self.cutout.size)
        write_png(self.out / file, Image.fromarray(crop))
        portion = portion_of(record, self.source.root)
        self.cut.entries.append(
            CropEntry(
                file=file.as_posix(),
                source=record.image.relative_to(self.source.root).as_posix(),
                sha256=checksum,
                window=window.box,
                object=box,
                scale=(crop.shape[1] / window.box.width, crop.shape[0] / window.box.height),
                padding=window.padding,
                class_name=class_name,
                rule=record.mask.rule if record.mask else "",
                layout=self.source.layout,
                split=self.source.splits[portion],
                source_split=portion.source_split,
                group=portion.group,
            )
        )

    def _leave_out(self, why: str, count: int = 1) -> None:
        self.cut.left_out[why] = self.cut.left_out.get(why, 0) + count

    def _random(self, record: Record, class_name: str | None, number: int) -> np.random.Generator:
        """A generator that depends on the object alone, not on what else is cut."""
        what = f"{self.cutout.seed} {record.image.relative_to(self.source.root).as_posix()} {class_name} {number}"
        return np.random.default_rng(list(blake2b(what.encode(), digest_size=16).digest()))


def cut_window(
    pixels: Pixels, mask: Pixels, mine: NDArray[np.bool_], cutout: CutoutOptions, random: np.random.Generator
) -> Window:
    """Cut the window of an object, at a random place among those that hold it whole and cut no other object.

    Raises:
        _NotCut: there is none, or it would need too much padding.
    """
    box = box_of(mine)
    size = window_size(box, cutout, random)
    around = [_around(*each) for each in zip(mine.shape, size, strict=True)]
    padding = 1 - math.prod(min(part, whole) for part, whole in zip(mine.shape, size, strict=True)) / math.prod(size)
    if padding > cutout.max_padding:
        raise _NotCut("too much padding")
    mask = np.pad(mask, around, mode=cutout.padding)
    box = box._replace(x=box.x + around[1][0], y=box.y + around[0][0])
    corners = whole_crops(mask > 0, box, size)
    if not len(corners):
        raise _NotCut("too close to others")
    y, x = corners[random.integers(len(corners))].tolist()
    pixels = np.pad(pixels, [*around, (0, 0)], mode=cutout.padding)
    part = np.s_[y : y + size[0], x : x + size[1]]
    rgb = np.broadcast_to(pixels[part], (*size, 3))
    return Window(
        Box(x - around[1][0], y - around[0][0], size[1], size[0]), np.dstack([rgb, mask[part]]), round(padding, 4)
    )


def window_size(box: Box, cutout: CutoutOptions, random: np.random.Generator) -> Size:
    """How much of the picture is cut for an object.

    Raises:
        _NotCut: "native" windows have one size, and the object needs a larger one.
    """
    (h, w), (least, most) = cutout.size, cutout.context
    fraction = max(box.height / h, box.width / w)
    if cutout.scale == "native":
        if fraction * least > 1:
            raise _NotCut("too large")
        return cutout.size
    factor = fraction * random.uniform(least, most)
    return max(box.height, round(h * factor)), max(box.width, round(w * factor))


def resized(crop: Pixels, size: Size) -> Pixels:
    """A crop (h, w, 4) in another size: sharp where it grows, averaged where it shrinks; image and mask alike."""
    if crop.shape[:2] == tuple(size):
        return crop
    by = Image.Resampling.BOX if crop.shape[0] >= size[0] else Image.Resampling.BICUBIC
    channels = [Image.fromarray(channel).resize(size[::-1], by) for channel in np.moveaxis(crop, 2, 0)]
    return np.stack([np.asarray(channel) for channel in channels], 2)


def _around(length: int, wanted: int) -> tuple[int, int]:
    """How much to add before and after, to be as long as wanted."""
    lacking = max(0, wanted - length)
    return lacking // 2, lacking - lacking // 2


def _reasons(cut: Cut) -> str:
    reasons = [f"{count} {why}" for why, count in cut.left_out.items()]
    reasons += [f"{len(cut.failed)} could not be read"] if cut.failed else []
    return (
        f" ({', '.join(reasons)}). Choose a larger size, scale 'fit', more max_padding or a smaller min_area"
        if reasons
        else ""
    )
