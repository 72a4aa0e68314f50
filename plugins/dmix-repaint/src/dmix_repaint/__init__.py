"""RePaint's walk over the levels for dmix (Lugmayr et al., CVPR 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

from dmix_core.errors import ScheduleError
from dmix_core.hookspecs import hookimpl


@dataclass(frozen=True)
class RePaint:
    """Jumps back along the whole way: every `jump_length` levels, so far up and down again, several times over.

    From T = steps down to 0, with jumps of j levels from each of the levels 1, 1 + j, 1 + 2j, ... below T - j + 1. With
    J of them and n = jump_n_sample it visits T + 1 + 2 j (n - 1) J levels and costs T + j (n - 1) J network calls. The
    clean level 0 is where the walk ends; it is no jump's bottom.

    Attributes:
        jump_length: how far each climb goes, 1 or more; T and above leave the plain descent.
        jump_n_sample: how often each of these stretches is walked down, 1 or more; 1 is the plain descent.
        start_resampling: climbs end at this level or below; None: everywhere. In RePaint's own numbers, which count the
            levels T-1, ..., 0, -1 where ours count T, ..., 1, 0: its level 100 is our 101.
    """

    jump_length: int = 10
    jump_n_sample: int = 10
    start_resampling: int | None = None

    def __post_init__(self) -> None:
        if self.jump_length < 1:
            raise ScheduleError(
                f"jump_length is {self.jump_length}; expected at least 1. For no jumps use jump_n_sample=1."
            )
        if self.jump_n_sample < 1:
            raise ScheduleError(f"jump_n_sample is {self.jump_n_sample}; expected 1 (no jumps) or more.")

    def __call__(self, steps: int) -> Sequence[int]:
        highest = steps if self.start_resampling is None else self.start_resampling + 1
        walk = [steps]
        for bottom in reversed(range(1, steps - self.jump_length + 1, self.jump_length)):
            walk += range(walk[-1] - 1, bottom - 1, -1)
            top = bottom + self.jump_length
            if top <= highest:
                walk += (self.jump_n_sample - 1) * [*range(bottom + 1, top), *range(top, bottom - 1, -1)]
        return [*walk, *range(walk[-1] - 1, -1, -1)]


@hookimpl
def dmix_timestep_schedules() -> dict[str, type[RePaint]]:
    return {"repaint": RePaint}
