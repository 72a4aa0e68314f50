"""The check of layouts."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, get_args

from hypothesis import strategies as st
from PIL import Image

from dmix_core.errors import DmixError
from dmix_core.testing.checking import Check, Conformance, Input, Judged, Unanswered, Verdict

from ..layouts.base import Layout, Listing, Record
from ..options import Split

T = TypeVar("T")


@Conformance
def check_layout(layout: Layout, folder: str | Path | None = None) -> Check:
    """Check a layout on folders that are laid out in no known way, and on one that is laid out as it expects.

    Promises: it has a name, a title and a mask rule; it finds nothing in an empty folder, and does not fail on strange
    ones; it recognises its own folder; it lists records of files below that folder, each once, twice the same; masks
    that it names can be read.

    Args:
        folder: of a small data set in this layout; without one the promises on it are not tested.

    Raises:
        BrokenPromise: which promise, by which folder; an AssertionError.
    """

    def judge(name: str, at: Path | None) -> Iterator[Verdict]:
        yield from _facts(layout)
        if at is not None:
            yield from _judge_own(layout, at)
            return
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary).resolve()
            FOLDERS[name](root)
            yield from _judge_strange(layout, root, name == EMPTY)

    first, *others = [_case(name) for name in FOLDERS]
    own = [_case(f"the folder {str(folder)!r}", Path(folder))] if folder is not None else []
    return Check(st.just(first), judge, examples=1, first=[first], last=[*others, *own])


def _case(name: str, at: Path | None = None) -> Input:
    """A folder by its name in messages: one of FOLDERS, which is made anew each time, or the layout's own."""
    return Input((name, at), name, f"layout.detect(folder)  # {name}\nlayout.read(folder)")


def _files(root: Path) -> None:
    for name in ("a.png", "b/c.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name)


def _no_pictures(root: Path) -> None:
    (root / "a.png").write_text("no picture")
    (root / "train").write_text("no folder")
    (root / "images.png").mkdir()


EMPTY = "an empty folder"
FOLDERS: dict[str, Callable[[Path], object]] = {
    EMPTY: lambda root: None,
    "a folder of pictures": _files,
    "a folder of files that are not what they are called": _no_pictures,
}
"""What fills an empty folder, by its name in messages."""


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
    return (yield from _looked(promise, layout.detect, root, lambda found: found is None or isinstance(found, str)))


def _listed(layout: Layout, root: Path) -> Judged[Listing | None]:
    promise = "read returns a Listing of Records, and raises nothing but a DmixError"
    return (yield from _looked(promise, layout.read, root, _is_listing))


def _is_listing(found: object) -> bool:
    return isinstance(found, Listing) and all(isinstance(record, Record) for record in found.records)


def _looked(promise: str, look: Callable[[Path], T], root: Path, fits: Callable[[object], bool]) -> Judged[T | None]:
    """What a layout finds in a folder; None where it raises a DmixError, or what it should not return."""
    try:
        found = look(root)
    except DmixError:
        return None
    except Exception as error:
        yield Verdict(promise, False, f"{type(error).__name__}: {error}", error)
        raise Unanswered from error
    yield Verdict(promise, fits(found), f"it returned {found!r:.80}")
    return found if fits(found) else None


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
