"""Times of several ways in turn, in one process, and what memory they take at most."""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

Way = Callable[[], object]


class Timed(NamedTuple):
    """Seconds of one way: the median of its rounds, and of its ratios to the first way in the same round."""

    seconds: float
    ratio: float
    rounds: int


def in_turn(ways: Mapping[str, Way], budget: float, least: int = 3, most: int = 60) -> dict[str, Timed]:
    """Every way once a round, after a round of warm-up, for about `budget` seconds.

    What else runs on the machine slows all ways of a round alike, so that the ratios hold where the seconds do not. The
    order turns from round to round, so that no way always follows the same other one.
    """
    names = list(ways)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        ways[name]()
    end = time.perf_counter() + budget
    for number in range(most):
        if number >= least and time.perf_counter() > end:
            break
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name].append(seconds(ways[name]))
    first = taken[names[0]]
    return {
        name: Timed(
            statistics.median(times),
            statistics.median(mine / base for mine, base in zip(times, first, strict=True)),
            len(times),
        )
        for name, times in taken.items()
    }


def seconds(way: Way) -> float:
    """Of the processor on one thread, which no other program lengthens; by the clock on several."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    way()
    return clock() - start


def peak(way: Way) -> int | None:
    """Bytes by which the process grows at most while it does this; None where the system does not tell (not Linux)."""
    status, refs = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not refs.exists():
        return None
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # else what earlier calls have left would serve this one unseen
    try:
        refs.write_text("5")  # the high-water mark falls to what is resident now
        before = _kilobytes(status, "VmRSS")
        way()
        return 1024 * (_kilobytes(status, "VmHWM") - before)
    except OSError:
        return None


def _kilobytes(status: Path, key: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])
