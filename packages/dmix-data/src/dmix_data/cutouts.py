"""Objects cut out of a data set: RGBA pictures whose alpha is the mask, and a line of JSON for each."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from dmix_core.errors import ImageError
from dmix_core.files import writable_folder, write_atomically
from dmix_core.geometry import Box
from dmix_core.images import write_png
from dmix_core.protocols import Size

from .crops import box_of, objects_of, whole_crops
from .files import DataError, Pixels
from .layouts import Record, Split
from .manifest import MANIFEST, CropEntry
from .pictures import OnError, Picture, pictures_of
from .readers import check_complete, incomplete, pairs_layout, pairs_listing, thinned, with_objects


class Cutting(BaseModel):
    """How objects are cut out.

    Attributes:
        size: (h, w) of the crops.
        scale: "native" cuts windows of this size, so that pixels stay as they are; "fit" cuts windows around the
            objects and resizes them, so that every object has about the same size.
        context: the window's sides over the object's, at least and at most; "native" minds only the least.
        padding: what surrounds pictures that are smaller than the window, and their masks: a reflection or the edge.
        max_padding: the largest share of padding in a crop; an object that needs more is left out.
        min_area, merge_distance: which parts of a mask are objects, as for ObjectCrops.
        hold_out: the share of groups that is set aside as "test", of those that are for training or undivided; of all
            where none are.
        seed: of the places of the objects in their crops, and of what is held out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[PositiveInt, PositiveInt] = (32, 32)
    scale: Literal["native", "fit"] = "native"
    context: tuple[float, float] = (1.25, 2.0)
    padding: Literal["reflect", "edge"] = "reflect"
    max_padding: float = Field(0.25, ge=0, lt=1)
    min_area: PositiveInt = 16
    merge_distance: PositiveInt = 4
    hold_out: float = Field(0.0, ge=0, lt=1)
    seed: int = Field(0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _check_context(self) -> Self:
        if not 1 <= self.context[0] <= self.context[1]:
            raise ValueError("context: expected two factors, 1 <= least <= most")
        return self


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
    cutting: Cutting,
    *,
    layout: str | None = None,
    mask_rule: str | None = None,
    mask_suffix: str | None = None,
    classes: Sequence[str] | None = None,
    every: int = 1,
    on_error: OnError = "fail",
    seen: Callable[[], object] = lambda: None,
) -> Cut:
    """Cut every object of a data set out into OUT/CLASS/NUMBER.png; OUT/crops.jsonl is written last.

    Args:
        layout, mask_rule, mask_suffix, classes, every, on_error: as for read_pairs.
        seen: called after each picture.

    Raises:
        DataError: nothing to cut, pictures and masks that do not fit together, or crops are there already.
        ImageError: a file that cannot be read.
    """
    root, out = Path(folder), Path(out)
    found = pairs_layout(root, mask_suffix, layout)
    listing = pairs_listing(root, found, mask_rule)
    if on_error == "fail":
        check_complete(listing, root)
    records = thinned(with_objects(listing, root), every, root)
    if (out / MANIFEST).exists():
        raise DataError(f"{str(out)!r} holds crops already; expected a new folder, or move {MANIFEST} away.")
    writable_folder(out)
    cutter = _Cutter(root, out, cutting, found.name, divide_groups(records, root, cutting))
    cut = cutter.run(records, classes, on_error, seen)
    cut.failed.extend((left.path, left.why) for left in incomplete(listing) if on_error == "skip")
    if not cut.entries:
        raise DataError(f"No object of {len(records)} pictures in {str(root)!r} was cut out{_told(cut)}.")
    lines = "".join(f"{entry.model_dump_json()}\n" for entry in cut.entries)
    write_atomically(out / MANIFEST, lines.encode())
    return cut


def divide_groups(records: Sequence[Record], root: Path, cutting: Cutting) -> dict[Portion, Split]:
    """The part that each portion is for: as the data set has it, or with some groups held out for testing.

    Groups are drawn for each set of classes that a group shows, so that few classes are left out of a part.
    """
    classes: defaultdict[Portion, set[str]] = defaultdict(set)
    for record in records:
        classes[portion_of(record, root)].add(record.class_name or "")
    splits: dict[Portion, Split] = {portion: portion.source_split or "train" for portion in classes}
    if not cutting.hold_out:
        return splits
    alike: defaultdict[tuple[str, ...], list[Portion]] = defaultdict(list)
    for portion in [each for each in splits if splits[each] == "train"] or splits:
        alike[tuple(sorted(classes[portion]))].append(portion)
    for portions in alike.values():
        count = min(max(1, round(cutting.hold_out * len(portions))), len(portions) - 1)
        drawn = sorted(portions, key=lambda each: blake2b(f"{cutting.seed} {each.group}".encode()).digest())
        splits.update((each, "test" if rank < count else "train") for rank, each in enumerate(drawn))
    return splits


def portion_of(record: Record, root: Path) -> Portion:
    alone = record.image.relative_to(root).as_posix()
    return Portion(alone if record.group is None else record.group, record.split)


class _Cutter:
    def __init__(self, root: Path, out: Path, cutting: Cutting, layout: str, splits: dict[Portion, Split]) -> None:
        self.root, self.out, self.cutting, self.layout, self.splits = root, out, cutting, layout, splits
        self.counts: Counter[str] = Counter()
        self.cut = Cut([], {}, [])

    def run(
        self,
        records: Sequence[Record],
        classes: Sequence[str] | None,
        on_error: OnError,
        seen: Callable[[], object],
    ) -> Cut:
        for record in records:
            seen()
            try:
                pictures = pictures_of(record)
            except (DataError, ImageError) as error:
                if on_error == "fail":
                    raise
                self.cut.failed.append((record.image, str(error)))
                continue
            for picture in pictures:
                if classes is None or picture.class_name in classes:
                    self._cut_picture(picture, record)
        return self.cut

    def _cut_picture(self, picture: Picture, record: Record) -> None:
        objects = objects_of(picture, self.cutting.min_area, self.cutting.merge_distance)
        if not objects.numbers:
            self._leave_out("the mask shows no object")
        checksum = sha256(record.image.read_bytes()).hexdigest()
        for number in objects.numbers:
            mine = objects.labels == number
            random = self._random(record, picture.class_name, number)
            try:
                window = cut_window(picture.pixels, objects.mask, mine, self.cutting, random)
            except _NotCut as why:
                self._leave_out(str(why))
            else:
                self._write(window, box_of(mine), picture, record, checksum)

    def _write(self, window: Window, box: Box, picture: Picture, record: Record, checksum: str) -> None:
        class_name = picture.class_name or "object"
        folder = re.sub(r"[^\w-]+", "_", class_name)
        file = Path(folder, f"{self.counts[folder]:06d}.png")
        self.counts[folder] += 1
        (self.out / folder).mkdir(exist_ok=True)
        crop = resized(window.pixels, self.cutting.size)
        write_png(self.out / file, Image.fromarray(crop))
        portion = portion_of(record, self.root)
        self.cut.entries.append(
            CropEntry(
                file=file.as_posix(),
                source=record.image.relative_to(self.root).as_posix(),
                sha256=checksum,
                window=window.box,
                object=box,
                scale=(crop.shape[1] / window.box.width, crop.shape[0] / window.box.height),
                padding=window.padding,
                class_name=class_name,
                rule=record.mask.rule if record.mask else "",
                layout=self.layout,
                split=self.splits[portion],
                source_split=portion.source_split,
                group=portion.group,
            )
        )

    def _leave_out(self, why: str) -> None:
        self.cut.left_out[why] = self.cut.left_out.get(why, 0) + 1

    def _random(self, record: Record, class_name: str | None, number: int) -> np.random.Generator:
        """A generator that depends on the object alone, not on what else is cut."""
        what = f"{self.cutting.seed} {record.image.relative_to(self.root).as_posix()} {class_name} {number}"
        return np.random.default_rng(list(blake2b(what.encode(), digest_size=16).digest()))


def cut_window(
    pixels: Pixels, mask: Pixels, mine: NDArray[np.bool_], cutting: Cutting, random: np.random.Generator
) -> Window:
    """Cut the window of an object, at a random place among those that hold it whole and cut no other object.

    Raises:
        _NotCut: there is none, or it would need too much padding.
    """
    box = box_of(mine)
    size = window_size(box, cutting, random)
    around = [_around(*each) for each in zip(mine.shape, size)]
    padding = 1 - math.prod(min(part, whole) for part, whole in zip(mine.shape, size)) / math.prod(size)
    if padding > cutting.max_padding:
        raise _NotCut("too much padding")
    mask = np.pad(mask, around, mode=cutting.padding)
    box = box._replace(x=box.x + around[1][0], y=box.y + around[0][0])
    corners = whole_crops(mask > 0, box, size)
    if not len(corners):
        raise _NotCut("too close to others")
    y, x = corners[random.integers(len(corners))].tolist()
    pixels = np.pad(pixels, [*around, (0, 0)], mode=cutting.padding)
    part = np.s_[y : y + size[0], x : x + size[1]]
    rgb = np.broadcast_to(pixels[part], (*size, 3))
    return Window(
        Box(x - around[1][0], y - around[0][0], size[1], size[0]), np.dstack([rgb, mask[part]]), round(padding, 4)
    )


def window_size(box: Box, cutting: Cutting, random: np.random.Generator) -> Size:
    """How much of the picture is cut for an object.

    Raises:
        _NotCut: "native" windows have one size, and the object needs a larger one.
    """
    (h, w), (least, most) = cutting.size, cutting.context
    fraction = max(box.height / h, box.width / w)
    if cutting.scale == "native":
        if fraction * least > 1:
            raise _NotCut("too large")
        return cutting.size
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


def _told(cut: Cut) -> str:
    reasons = [f"{count} {why}" for why, count in cut.left_out.items()]
    reasons += [f"{len(cut.failed)} could not be read"] if cut.failed else []
    return f" ({', '.join(reasons)}). Choose a larger size, scale 'fit' or more max_padding" if reasons else ""
