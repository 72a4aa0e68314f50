"""A walk that is coarse while every region is on its own and fine where they merge."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from dmix_core import TailResampling
from dmix_core.errors import ScheduleError


@dataclass(frozen=True)
class FewSteps:
    """From T down to the merge window in `calls` moves, then level by level, then the paper's resampling.

    The coarse levels are spread evenly, which is nearly even in log-SNR too, as DPM-Solver's authors advise: with
    linear betas and 30 moves from T = 250 to 25, no move is more than 2.3 times as long in it as another.

    It costs calls + W + tau r network calls, where W = (1 - fine_from) T: by default and for T = 250, 30 + 25 + 20.

    Attributes:
        calls: of the network on the way down to the merge window; as many as there are levels, if that is less.
        fine_from: the fraction of the denoising after which it goes level by level, 0..1; as Composer's merge_from.
        jump_length: tau of the resampling, 1..T.
        resamples: r of the resampling; 0 for none.
    """

    calls: int = 30
    fine_from: float = 0.9
    jump_length: int = 10
    resamples: int = 2

    def __post_init__(self) -> None:
        if self.calls < 1:
            raise ScheduleError(f"calls is {self.calls}; expected at least 1 on the way to the merge window.")
        if not 0 <= self.fine_from <= 1:
            raise ScheduleError(f"fine_from is {self.fine_from}; expected a fraction of the denoising, 0..1.")
        TailResampling(self.jump_length, self.resamples)  # refuses what cannot be walked

    def __call__(self, steps: int) -> Sequence[int]:
        window = floor((1 - self.fine_from) * steps + 1e-9)
        fine = TailResampling(self.jump_length, self.resamples)(steps)
        calls = min(self.calls, steps - window)
        coarse = [steps - round(i * (steps - window) / calls) for i in range(calls)]
        return [*coarse, *fine[steps - window :]]
