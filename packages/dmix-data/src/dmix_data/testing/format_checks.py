"""The check of formats."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from dmix_core.errors import DmixError
from dmix_core.testing.checking import Check, Conformance, Input, Judged, Unanswered, Verdict

from ..formats.writing import Format
from ..stored_set import StoredSet
from .toy_sets import write_set

Files = dict[str, bytes]
"""The content of each file below a folder."""


@Conformance
def check_format(form: Format) -> Check:
    """Check a format on small sets.

    Promises: it has a name and a title; it yields each sample of a set once, in their order, and returns a list of
    texts; it raises nothing but a DmixError; it writes files, the same ones twice, and leaves the set as it is.

    Raises:
        BrokenPromise: which promise, by which set; an AssertionError.
    """

    def judge(samples: int) -> Iterator[Verdict]:
        for fact in ("name", "title"):
            value = getattr(form, fact, None)
            kept = isinstance(value, str) and bool(value)
            yield Verdict(f"it has a {fact}: text that is not empty", kept, f"it is {value!r}")
        with tempfile.TemporaryDirectory() as temporary:
            yield from _judge_set(form, samples, Path(temporary))

    return Check(st.just(_toys(3)), judge, examples=1, first=[_toys(3)], last=[_toys(9)])


def _toys(samples: int) -> Input:
    """A small set of so many samples."""
    code = (
        "from dmix_data.stored_set import StoredSet\n"
        "from dmix_data.testing import write_set\n"
        f"[*format.write(StoredSet.open(write_set('toys', {samples})), folder)]"
    )
    return Input((samples,), f"a set of {samples} samples", code)


def _judge_set(form: Format, samples: int, folder: Path) -> Iterator[Verdict]:
    source = StoredSet.open(write_set(folder / "toys", samples))
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
        listed = end.value
    except Exception as error:
        yield Verdict("write raises nothing but a DmixError", isinstance(error, DmixError), repr(error), error)
        raise Unanswered from error
    expected = [sample.name for sample in source.samples()]
    yield Verdict("it yields each sample once, in their order", seen == expected, f"it yielded {seen[:4]}")
    texts = isinstance(listed, list) and all(isinstance(each, str) for each in listed)
    yield Verdict("it returns a list of texts", texts, f"it returned {listed!r:.80}")
    return _files(folder)


def _files(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
