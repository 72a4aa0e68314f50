"""How many of torch's threads suit a set on this machine: the first sample of its plan, timed with each."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from dmix_core.loading import Loader

from .engines import usable_cpus
from .generate_config import GenerateConfig
from .making import Maker
from .planning import plan
from .pool import threads_as_before
from .sources import sources_of

WORTH = 1.1
"""How many times more samples in the same time more threads must make: one timing of each is no exact measure."""


class Trial(NamedTuple):
    """A sample that was composed with so many threads, while nothing else ran; so many workers have room beside it."""

    threads: int
    workers: int
    seconds: float

    @property
    def rate(self) -> float:
        """Samples in a second, if as many workers as have room are each as fast as one alone."""
        return self.workers / self.seconds

    def __str__(self) -> str:
        threads, workers = (
            f"{count} {name}{'s' if count > 1 else ''}"
            for count, name in ((self.threads, "thread"), (self.workers, "worker"))
        )
        return f"{threads}: {self.seconds:.2f} s for a sample, {self.rate:.2f} samples in a second by {workers}"


def trials(config: GenerateConfig, workers: int | None = None, cpus: int | None = None) -> Iterator[Trial]:
    """Compose the first sample of a set with 1, 2, 4, ... threads, each once after one that does not count.

    Args:
        workers: processes that work at a time; None: as many as there is room for.
        cpus: for all of them together; None: those of this machine. On other devices than the CPU only one thread is
            tried, since threads are not what computes.

    Raises:
        DmixError: as for `generate`.
    """
    loader = Loader()
    maker = Maker(config, sources_of(config, loader), loader)
    record = next(plan(config, maker.sources, range(1)))
    cpus = cpus or usable_cpus()
    most = cpus // (workers or 1) if config.device == "cpu" else 1
    with threads_as_before():
        torch.set_num_threads(1)
        maker.take(record)
        for threads in _doubled(most):
            torch.set_num_threads(threads)
            start = time.perf_counter()
            maker.take(record)
            yield Trial(threads, workers or max(1, min(cpus // threads, config.n)), time.perf_counter() - start)


def _doubled(most: int) -> Iterator[int]:
    """1, 2, 4, ... up to the most; at least 1."""
    yield from (1 << power for power in range(max(1, most).bit_length()))


def best(tried: Sequence[Trial]) -> int:
    """The threads of the trial with the highest rate; the first of those that are about as fast."""
    chosen, *others = tried
    for each in others:
        if each.rate > WORTH * chosen.rate:
            chosen = each
    return chosen.threads
