"""The check of engines."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from dmix_core.errors import DmixError
from dmix_core.testing.checking import Check, Conformance, Input, Judged, Unanswered, Verdict

from ..engines import Engine
from ..units import Unit
from .toy_jobs import ToyJob, toy_job, whole

RECORDS = 7
BAD = 4
"""The record that fails, or that ends its process."""
Bad = dict[str, int]
"""What is asked of a toy job: which record `fails` or `kills`."""


@Conformance
def check_engine(engine: Engine) -> Check:
    """Check an engine on jobs without models.

    Promises: one worker and two leave the same files; units come in the order of their numbers, each once and without
    the content of its files; it raises nothing but a DmixError; what a sample raises arrives in its words, behind the
    units before it; a worker that is killed is survived, or told by a DmixError; no numbers are no units.

    Raises:
        BrokenPromise: which promise, by which job; an AssertionError.
    """

    def judge(workers: int, records: int, bad: Bad) -> Iterator[Verdict]:
        with tempfile.TemporaryDirectory() as temporary:
            job = toy_job(Path(temporary) / "set", RECORDS, **bad)
            yield from _judge(engine, job, range(records), workers)

    last = [_input(1, 2), _input(1, 0), _input(2, RECORDS, fails=BAD), _input(2, RECORDS, kills=BAD)]
    return Check(st.just(_input(2, RECORDS)), judge, examples=1, last=last)


def _input(workers: int, records: int, **bad: int) -> Input:
    asked = "".join(f", {name}={number}" for name, number in bad.items())
    code = (
        "from pathlib import Path\n"
        "from dmix_factory.testing import toy_job\n"
        f"job = toy_job(Path('toys'), {RECORDS}{asked})\n"
        f"for unit in engine.units(job, range({records}), {workers}):\n"
        "    print(unit)"
    )
    return Input((workers, records, bad), f"{records} records, workers={workers}{asked}", code)


def _judge(engine: Engine, job: ToyJob, numbers: range, workers: int) -> Iterator[Verdict]:
    expected = whole(job)[: len(numbers)]
    made, error = yield from _made(engine, job, numbers, workers)
    yield Verdict(
        "units come in the order of their numbers, each once and without the content of its files",
        made == [unit.without_files() for unit in expected[: len(made)]],
        f"numbers {[entry.number for unit in made for entry in unit.entries]}",
    )
    files = {path: data for unit in expected[: len(made)] for path, data in unit.files.items()}
    wrong = [path for path, data in files.items() if _content(job.folder / path) != data]
    yield Verdict("the files of a unit are there when it comes, with the same bytes", not wrong, ", ".join(wrong[:3]))
    if job.fails is not None:
        told = f"Sample {job.fails} cannot be made" in str(error)
        yield Verdict("what a sample raises arrives in its words", told, f"it raised {error!r}", error)
        yield Verdict("the units before a failing sample come first", len(made) == job.fails, f"{len(made)} came")
    else:
        promise = "all units come" if job.kills is None else "a killed worker is survived, or told by a DmixError"
        kept = len(made) == len(numbers) if error is None else job.kills is not None
        yield Verdict(promise, kept, f"{len(made)} of {len(numbers)} came; it raised {error!r}", error)


def _made(engine: Engine, job: ToyJob, numbers: range, workers: int) -> Judged[tuple[list[Unit], DmixError | None]]:
    """The units that come, and the error that ends them."""
    made: list[Unit] = []
    try:
        made.extend(engine.units(job, numbers, workers))
    except DmixError as error:
        return made, error
    except Exception as error:
        yield Verdict("it raises nothing but a DmixError", False, repr(error), error)
        raise Unanswered from error
    yield Verdict("it raises nothing but a DmixError", True)
    return made, None


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
