"""Corpora of hostile inputs: how many are tried, and how each ends.

    DMIX_FUZZ=20000 pytest tests/fuzz

tries so many overall instead of a few hundred of each corpus, and prints a table; DMIX_FUZZ_JSON=FILE
writes it as JSON, too. The seed is fixed, DMIX_FUZZ_SEED takes another one.
"""

import json
import math
import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import pytest

from dmix_core.errors import DmixError

COUNT = int(os.environ.get("DMIX_FUZZ", "0"))
SEED = int(os.environ.get("DMIX_FUZZ_SEED", "0"))
SHARES = {
    "annotations": 0.2,
    "pictures": 0.2,
    "command lines": 0.25,
    "training folders": 0.05,
    "checkpoints": 0.15,
    "recipes": 0.15,
}
"""Of each corpus among all inputs; a training folder takes a hundred times as long as a picture."""
ENDS = ("inputs", "clean", "traceback", "hang")
SHOWN = 5  # failures of a corpus

totals = {name: dict.fromkeys(ENDS, 0) for name in SHARES}


class Late(BaseException):
    """An input that takes too long; no exception that what is tried would catch."""


class Inputs:
    """The inputs of a part of a corpus: gone through, they are generators of random numbers, one of each input.

    Left as a context, it fails with the first inputs that ended in a traceback or hung; others are tried all the same.

    Attributes:
        read: how many were taken.
        refused: how many were answered with a DmixError.
    """

    def __init__(self, corpus: str, part: str, count: int, seconds: int) -> None:
        self.corpus, self.part, self.count, self.seconds = corpus, part, count, seconds
        self.read = self.refused = 0
        self.failures: list[str] = []

    def __iter__(self) -> Iterator[random.Random]:
        for number in range(self.count):
            self.label = f"{self.corpus}, {self.part}, input {number} of seed {SEED}"
            yield random.Random(f"{SEED} {self.part} {number}")

    def attempt(self, work: Callable[..., object], *given: object, shown: object = "") -> bool:
        """Whether the work ended well; a DmixError is an answer, too, and any other error a failure."""
        totals[self.corpus]["inputs"] += 1
        try:
            _within(self.seconds, work, *given)
        except DmixError as error:
            str(error).encode()  # a message that can be printed
            self.refused += 1
        except Late:
            return self._failed("hang", f"not done after {self.seconds} seconds", shown)
        except Exception:
            return self._failed("traceback", traceback.format_exc(limit=-6), shown)
        else:
            self.read += 1
            totals[self.corpus]["clean"] += 1
            return True
        totals[self.corpus]["clean"] += 1
        return False

    def _failed(self, end: str, why: str, shown: object) -> bool:
        totals[self.corpus][end] += 1
        self.failures.append(f"{self.label}: {why}\n{str(shown)[:400]!r}")
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.failures:
            pytest.fail("\n".join([f"{len(self.failures)} inputs failed", *self.failures[:SHOWN]]), pytrace=False)


def _within(seconds: int, work: Callable[..., object], *given: object) -> None:
    """Do the work within so many seconds of processor time, and ten times as many by the clock."""

    def late(*_: object) -> None:
        raise Late

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, 10 * seconds)}
    before, start = {number: signal.signal(number, late) for number in timers}, time.process_time()
    for timer, most in timers.values():
        signal.setitimer(timer, most)
    try:
        work(*given)
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
    if time.process_time() - start > seconds:  # what was tried caught even this exception
        raise Late


@pytest.fixture
def inputs(request: pytest.FixtureRequest) -> Callable[..., Inputs]:
    """inputs(corpus, few, of, seconds): one `of` so many parts of a corpus; `few` where no number is asked for."""

    def make(corpus: str, few: int, of: int = 1, seconds: int = 30) -> Inputs:
        count = math.ceil(SHARES[corpus] * COUNT / of) if COUNT else few
        return Inputs(corpus, request.node.name, count, seconds)

    return make


@pytest.fixture(scope="session")
def mutated() -> Callable[..., Any]:
    """mutated(data, values, keys, draw): see `_mutated`."""
    return _mutated


@pytest.fixture(scope="session")
def damaged() -> Callable[[bytes, random.Random], bytes]:
    """damaged(data, draw): see `_damaged`."""
    return _damaged


def _places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of everything in a JSON value."""
    yield at
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield from _places(value, (*at, key))


def _mutated(data: Any, values: list[Any], keys: list[str], draw: random.Random) -> Any:
    """A copy of a JSON value with one or two parts replaced by one of some values, left out, or added under a key."""
    data = json.loads(json.dumps(data))
    for _ in range(draw.randint(1, 2)):
        at = draw.choice([place for place in _places(data) if place])
        parent = data
        for key in at[:-1]:
            parent = parent[key]
        change = draw.choice(["value", "value", "value", "gone", "more"])
        if change == "gone":
            del parent[at[-1]]
        elif change == "more" and isinstance(parent, dict):
            parent[draw.choice(keys)] = deepcopy(draw.choice(values))
        else:
            parent[at[-1]] = deepcopy(draw.choice(values))
    return data


def _damaged(data: bytes, draw: random.Random) -> bytes:
    """Cut off, or with some bytes changed, put in or left out; mostly near the start, where the structure is."""
    if draw.random() < 0.2:
        return data[: draw.randrange(len(data))]
    data = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        end = len(data) if draw.random() < 0.3 else min(len(data), 2000)
        at = draw.randrange(end)
        match draw.randrange(3):
            case 0:
                data[at] = draw.randrange(256)
            case 1:
                data[at:at] = draw.randbytes(draw.randint(1, 8))
            case 2:
                del data[at : at + draw.randint(1, 8)]
    return bytes(data)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of counts, where a number of inputs was asked for."""
    if not COUNT:
        return
    rows = [*totals.items(), ("overall", {end: sum(row[end] for row in totals.values()) for end in ENDS})]
    terminalreporter.section("hostile inputs")
    terminalreporter.write_line(f"{'':<18}" + "".join(f"{end:>11}" for end in ENDS))
    for name, row in rows:
        terminalreporter.write_line(f"{name:<18}" + "".join(f"{row[end]:>11,}" for end in ENDS))
    if out := os.environ.get("DMIX_FUZZ_JSON"):
        Path(out).write_text(json.dumps({"seed": SEED, **dict(rows)}, indent=2) + "\n")
