"""The built-in engine: processes of this machine."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from .engines import AHEAD, EngineError, Job, Make, PlanRecord, Unit, Units, in_order, usual_workers

_job: Job | None = None
_make: Make | None = None
"""Of a worker process: what it works on, and what makes samples there once the first was asked for."""


@dataclass(frozen=True)
class Processes:
    """A process for each worker, with models of its own; a single worker is the process that asks."""

    def units(self, job: Job, numbers: Sequence[int], workers: int | None) -> Units:
        count = workers or usual_workers(job.config)
        return _here(job, numbers) if count == 1 else _elsewhere(job, numbers, count)


def _here(job: Job, numbers: Sequence[int]) -> Units:
    with threads_as_before():
        make = job.worker()
        for record in job.records(numbers):
            yield job.write(make(record))


def _elsewhere(job: Job, numbers: Sequence[int], workers: int) -> Units:
    context = multiprocessing.get_context("spawn")  # a fork would share the state of torch's threads
    with ProcessPoolExecutor(workers, context, _prepare, (job,)) as pool:
        try:
            yield from in_order(
                job.records(numbers),
                lambda record: pool.submit(_made, record),
                lambda future: future.result(),
                AHEAD * workers,
            )
        except BrokenProcessPool as error:
            raise EngineError(
                "A worker process died, perhaps for want of memory. Go on with --resume and fewer --workers. "
                'A script of yours that calls `generate` guards its start by `if __name__ == "__main__"`.'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # what is being made is waited for, so that nobody writes afterwards


def _prepare(job: Job) -> None:
    global _job
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _job = job


def _made(record: PlanRecord) -> Unit:
    """What cannot be loaded is the error of the sample that needs it, which `_prepare` could not tell."""
    global _make
    assert _job is not None
    _make = _make or _job.worker()
    return _job.write(_make(record))


def _end_with_parent() -> None:
    """End this process once the one that started it was killed, which cannot tell it so."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


@contextmanager
def threads_as_before() -> Iterator[None]:
    """At the end torch has as many threads as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
