"""The check of formats."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from dmix_core.errors import DmixError
from dmix_core.testing.promises import Check, Judged, Unanswered, Verdict

from ..formats.writing import Format
from ..stored_set import StoredSet
from .toy_sets import write_set

Files = dict[str, bytes]
"""The content of each file below a folder."""


def check_format(form: Format) -> None:
    """Check a format on small sets.

    Promises: it has a name and a title; it yields each sample of a set once, in their order, and returns a list of
    texts; it raises nothing but a DmixError; it writes files, the same ones twice, and leaves the set as it is.

    Raises:
        BrokenPromise: which promise, by which set; an AssertionError.
    """
    format_check(form).run()


@dataclass(frozen=True)
class _Toys:
    """A small set of so many samples."""

    samples: int

    def __str__(self) -> str:
        return f"a set of {self.samples} samples"

    @property
    def code(self) -> str:
        return (
            "from dmix_data.stored_set import StoredSet\n"
            "from dmix_data.testing import write_set\n"
            f"[*format.write(StoredSet.open(write_set('toys', {self.samples})), folder)]"
        )


def format_check(form: Format) -> Check[_Toys]:
    """What check_format runs."""

    def judge(case: _Toys) -> Iterator[Verdict]:
        for fact in ("name", "title"):
            value = getattr(form, fact, None)
            kept = isinstance(value, str) and bool(value)
            yield Verdict(f"it has a {fact}: text that is not empty", kept, f"it is {value!r}")
        with tempfile.TemporaryDirectory() as temporary:
            yield from _judge_set(form, case, Path(temporary))

    return Check(st.sampled_from([_Toys(3)]), judge, examples=1, first=[_Toys(3)], last=[_Toys(9)])


def _judge_set(form: Format, case: _Toys, folder: Path) -> Iterator[Verdict]:
    source = StoredSet.open(write_set(folder / "toys", case.samples))
    before = _files(source.root)
    first = yield from _written(form, source, folder / "first")
    again = yield from _written(form, source, folder / "again")
    yield Verdict("it writes files", bool(first))
    strange = sorted(name for name in first.keys() | again.keys() if first.get(name) != again.get(name))
    yield Verdict("the same set gives the same files", not strange, ", ".join(strange[:3]))
    yield Verdict("it leaves the set as it is", _files(source.root) == before)


def _written(form: Format, source: StoredSet, folder: Path) -> Judged[Files]:
    """The files that it writes of a set."""
    folder.mkdir()
    seen, steps = [], form.write(source, folder)
    try:
        while True:
            seen.append(next(steps).name)
    except StopIteration as end:
        told = end.value
    except Exception as error:
        yield Verdict("write raises nothing but a DmixError", isinstance(error, DmixError), repr(error), error)
        raise Unanswered from error
    expected = [sample.name for sample in source.samples()]
    yield Verdict("it yields each sample once, in their order", seen == expected, f"it yielded {seen[:4]}")
    listed = isinstance(told, list) and all(isinstance(each, str) for each in told)
    yield Verdict("it returns a list of texts", listed, f"it returned {told!r:.80}")
    return _files(folder)


def _files(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
