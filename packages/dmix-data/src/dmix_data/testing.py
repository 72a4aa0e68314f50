"""For plugin authors: what a layout promises.

    from dmix_data.testing import check_layout

    def test_it_is_a_layout(tmp_path):
        lay_out_a_small_data_set(tmp_path)
        check_layout(MyLayout(), tmp_path)

`write_set` writes a small generated set, such as formats are tried on. Both need hypothesis:
`pip install "dmix-core[testing]"`.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from dmix_core.errors import DmixError
from dmix_core.testing import BrokenPromise as BrokenPromise
from dmix_core.testing.promises import Check, Judged, Unanswered, Verdict

from .arrays import Pixels
from .generated_set import MANIFEST, SET, ObjectEntry, SampleEntry, SetInfo
from .layouts.base import Layout, Listing, Record
from .objects import box_of
from .options import Split
from .phash import phash


def check_layout(layout: Layout, folder: str | Path | None = None) -> None:
    """Check a layout on folders that are laid out in no known way, and on one that is laid out as it expects.

    Promises: it has a name, a title and a mask rule; it finds nothing in an empty folder, and does not fail on strange
    ones; it recognises its own folder; it lists records of files below that folder, each once, twice the same; masks
    that it names can be read.

    Args:
        folder: of a small data set in this layout; without one the promises on it are not tested.

    Raises:
        BrokenPromise: which promise, by which folder; an AssertionError.
    """
    layout_check(layout, folder).run()


@dataclass(frozen=True)
class _Folder:
    """A folder to look at, which is made anew each time.

    Attributes:
        name: what it is called in messages.
        make: fills an empty folder.
        own: the folder of a data set in the layout; `make` is not called.
    """

    name: str
    make: Callable[[Path], object] = lambda root: None
    own: Path | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def code(self) -> str:
        return f"layout.detect(folder)  # {self.name}\nlayout.read(folder)"


def layout_check(layout: Layout, folder: str | Path | None = None) -> Check[_Folder]:
    """What check_layout runs."""

    def judge(case: _Folder) -> Iterator[Verdict]:
        yield from _facts(layout)
        if case.own is not None:
            yield from _judge_own(layout, case.own)
            return
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary).resolve()
            case.make(root)
            yield from _judge_strange(layout, root, case is EMPTY)

    own = [_Folder(f"the folder {str(folder)!r}", own=Path(folder))] if folder is not None else []
    return Check(st.sampled_from([EMPTY]), judge, examples=1, first=[EMPTY], last=[*STRANGE, *own])


def _files(root: Path) -> None:
    for name in ("a.png", "b/c.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name)


def _no_pictures(root: Path) -> None:
    (root / "a.png").write_text("no picture")
    (root / "train").write_text("no folder")
    (root / "images.png").mkdir()


EMPTY = _Folder("an empty folder")
STRANGE = [
    _Folder("a folder of pictures", _files),
    _Folder("a folder of files that are not what they are called", _no_pictures),
]


def _facts(layout: Layout) -> Iterator[Verdict]:
    for fact in ("name", "title", "rule"):
        value = getattr(layout, fact, None)
        yield Verdict(
            f"it has a {fact}: text that is not empty", isinstance(value, str) and bool(value), f"it is {value!r}"
        )
    fallback = getattr(layout, "fallback", None)
    yield Verdict("it has a fallback: True or False", isinstance(fallback, bool), f"it is {fallback!r}")


def _judge_strange(layout: Layout, root: Path, empty: bool) -> Iterator[Verdict]:
    evidence = yield from _detected(layout, root)
    if empty:
        yield Verdict("it finds nothing in an empty folder", not evidence, f"it found {evidence!r}")
    if evidence:
        yield from _listed(layout, root)


def _judge_own(layout: Layout, root: Path) -> Iterator[Verdict]:
    evidence = yield from _detected(layout, root)
    yield Verdict("it recognises its own folder", bool(evidence), f"it found {evidence!r}")
    listing = yield from _listed(layout, root)
    if listing is None:
        return
    yield Verdict("it lists at least one record of its own folder", bool(listing.records))
    again = yield from _listed(layout, root)
    yield Verdict("the same folder gives the same records", again == listing)
    yield from _records(listing.records, root)


def _detected(layout: Layout, root: Path) -> Judged[str | None]:
    promise = "detect returns text or None, and raises nothing but a DmixError"
    try:
        evidence = layout.detect(root)
    except DmixError:
        return None
    except Exception as error:
        yield Verdict(promise, False, f"{type(error).__name__}: {error}", error)
        raise Unanswered from error
    yield Verdict(promise, evidence is None or isinstance(evidence, str), f"it returned {evidence!r}")
    return evidence


def _listed(layout: Layout, root: Path) -> Judged[Listing | None]:
    promise = "read returns a Listing of Records, and raises nothing but a DmixError"
    try:
        listing = layout.read(root)
    except DmixError:
        return None
    except Exception as error:
        yield Verdict(promise, False, f"{type(error).__name__}: {error}", error)
        raise Unanswered from error
    kept = isinstance(listing, Listing) and all(isinstance(record, Record) for record in listing.records)
    yield Verdict(promise, kept, f"it returned {listing!r:.80}")
    return listing if kept else None


def _records(records: Sequence[Record], root: Path) -> Iterator[Verdict]:
    images = [record.image for record in records]
    astray = [str(path) for path in images if not path.resolve().is_relative_to(root.resolve()) or not path.is_file()]
    yield Verdict("records are of files below the folder", not astray, ", ".join(astray[:3]))
    yield Verdict("each picture is listed once", len({*images}) == len(images))
    splits = {record.split for record in records} - {None, *get_args(Split)}
    yield Verdict("a split is train, val, test or None", not splits, ", ".join(map(repr, splits)))
    for record in records:
        if record.mask:
            yield from _mask(record)


def _mask(record: Record) -> Iterator[Verdict]:
    assert record.mask is not None
    promise = "its masks can be read: two-dimensional, of bytes"
    try:
        found = record.mask.read()
    except DmixError as error:
        yield Verdict(promise, False, str(error), error)
    else:
        strange = [each.mask.dtype for each in found if each.mask.ndim != 2 or each.mask.dtype != "uint8"]
        yield Verdict(promise, not strange, f"{record.image.name} has {strange}")


# ---- generated sets -----------------------------------------------------------------------------------------

CLASSES = ("crack", "hole")
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def write_set(folder: str | Path, samples: int = 6, *, seed: int = 0, size: tuple[int, int] = (40, 48)) -> Path:
    """Write a small set like one of `dmix generate`: random pictures, and objects with parts and holes.

    Of three samples in a row, the first shows a crack, the second a crack and a hole, and the third nothing; they
    go to train, the next three to val, and then to test.

    Args:
        size: (H, W), 24 pixels or more each.
    """
    root, random = Path(folder), np.random.default_rng(seed)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    info = SetInfo(name="toys", classes=CLASSES, recipe="0" * 64, licences={"toy": "CC0-1.0"})
    (root / SET).write_text(info.model_dump_json(), encoding="utf-8")
    lines = [_sample(root, number, random, size).model_dump_json() for number in range(samples)]
    (root / MANIFEST).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return root


def _sample(root: Path, number: int, random: np.random.Generator, size: tuple[int, int]) -> SampleEntry:
    shown = (1, 2, 0)[number % 3]
    mask = _objects(shown, random, size)
    image, place = f"images/{number:06d}.png", f"masks/{number:06d}.png"
    picture = Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8))
    picture.save(root / image)
    Image.fromarray(mask).save(root / place)
    return SampleEntry(
        number=number,
        image=image,
        mask=place,
        width=size[1],
        height=size[0],
        kind="composite" if shown else "twin",
        objects=tuple(_entry(mask, value) for value in range(1, shown + 1)),
        group=f"group-{number // 3}",
        split=SPLITS[number // 3 % 3],
        sha256={name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in (image, place)},
        phash=phash(picture),
    )


def _objects(count: int, random: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """A mask with the values 1 to `count`, each a blob with a hole and a part beside it."""
    mask = np.zeros(size, np.uint8)
    for value in range(1, count + 1):
        y, x = int(random.integers(1, 4)), 2 + (value - 1) * (size[1] // 2)
        height, width = (int(random.integers(low, low + 4)) for low in (12, 9))
        mask[y : y + height, x : x + width] = value
        mask[y + 3 : y + 6, x + 3 : x + 6] = 0
        mask[y + height + 1 : y + height + 4, x : x + 3] = value
    return mask


def _entry(mask: Pixels, value: int) -> ObjectEntry:
    shown = mask == value
    box = box_of(shown)
    return ObjectEntry(class_name=CLASSES[value - 1], value=value, box=(*box,), area=int(shown.sum()), model="toy")
