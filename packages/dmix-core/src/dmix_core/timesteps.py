"""Walks over the levels: from T down to 0, and, to let regions agree at their seams, up and down again."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import index

from .errors import ScheduleError


@dataclass(frozen=True)
class Descent:
    """The plain descent T, T-1, ..., 0."""

    def __call__(self, steps: int) -> Sequence[int]:
        return range(steps, -1, -1)


@dataclass(frozen=True)
class TailResampling:
    """The paper's walk: down to 0, then `resamples` times up to `jump_length` and down again.

        [T, T-1, ..., 0] + r * ([1 .. tau] + [tau-1 .. 0])

    which visits T + 1 + 2 tau r levels and costs T + tau r network calls.

    Attributes:
        jump_length: tau, how far each climb goes, 1..T.
        resamples: r, how often; 0 is the plain descent.
    """

    jump_length: int = 10
    resamples: int = 2

    def __post_init__(self) -> None:
        if self.jump_length < 1:
            raise ScheduleError(
                f"jump_length is {self.jump_length}; expected at least 1. For no resampling use resamples=0."
            )
        if self.resamples < 0:
            raise ScheduleError(f"resamples is {self.resamples}; expected 0 (no resampling) or more.")

    def __call__(self, steps: int) -> Sequence[int]:
        if self.resamples and self.jump_length > steps:
            raise ScheduleError(
                f"jump_length is {self.jump_length}, but there are only {steps} levels to climb; "
                f"expected 1..{steps}: use a shorter jump or more steps."
            )
        up, down = range(1, self.jump_length + 1), range(self.jump_length - 1, -1, -1)
        return [*range(steps, -1, -1), *(self.resamples * [*up, *down])]


def check_walk(walk: Sequence[int], steps: int) -> list[int]:
    """The levels of a walk that starts at `steps`, ends at 0, stays within and moves at every step.

    Raises:
        ScheduleError: it does not.
    """
    levels = [_whole(level) for level in walk]
    if not levels or levels[0] != steps or levels[-1] != 0:
        raise ScheduleError(
            f"A walk over {steps} levels starts at {steps} and ends at 0; this one is {_shorten(levels)}."
        )
    for t, s in pairwise(levels):
        if t == s or not 0 <= s <= steps:
            raise ScheduleError(f"A walk moves up or down within 0..{steps}; this one goes from {t} to {s}.")
    return levels


def _whole(level: object) -> int:
    try:
        return index(level)  # type: ignore[arg-type]
    except TypeError:
        raise ScheduleError(f"A walk goes over whole numbers; this one holds {level!r}. Round it with int().") from None


def _shorten(walk: Sequence[int]) -> str:
    return str(walk) if len(walk) < 8 else f"[{walk[0]}, {walk[1]}, ..., {walk[-2]}, {walk[-1]}]"
