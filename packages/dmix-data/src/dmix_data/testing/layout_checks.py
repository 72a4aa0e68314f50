"""The check of layouts."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from hypothesis import strategies as st
from PIL import Image

from dmix_core.errors import DmixError
from dmix_core.testing.promises import Check, Judged, Unanswered, Verdict

from ..layouts.base import Layout, Listing, Record
from ..options import Split


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
