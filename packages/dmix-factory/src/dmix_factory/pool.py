"""Samples from several processes, in the order of the plan."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import torch

from dmix_core.loading import Loader

from .generate_config import GenerateConfig
from .making import Maker
from .planning import PlanRecord
from .set_folder import SetError, write_files
from .sources import Sources
from .units import Unit

AHEAD = 3
"""Samples that wait for each process, so that none is idle while another finishes a slow one."""

_maker: Maker | None = None
"""Of a worker process: what `_prepare` made there."""


def written(maker: Maker, records: Iterable[PlanRecord], folder: Path, workers: int = 1) -> Iterator[Unit]:
    """Make the samples of these records and write their files; units come in the records' order.

    Args:
        workers: processes; with 1 this one does the work. Each has its own models and the config's number of threads.

    Raises:
        SetError: a worker process died.
        DmixError: a sample cannot be made or written.
    """
    if workers == 1:
        with _threads(maker.config.threads):
            for record in records:
                yield write_files(folder, maker.make(record))
        return
    context = multiprocessing.get_context("spawn")  # a fork would share the state of torch's threads
    with ProcessPoolExecutor(workers, context, _prepare, (maker.config, maker.sources)) as pool:
        waiting: deque[Future[Unit]] = deque()
        try:
            for record in records:
                waiting.append(pool.submit(_make, record, folder))
                if len(waiting) == AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise SetError(
                "A worker process died, perhaps for want of memory. Go on with --resume and fewer --workers."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare(config: GenerateConfig, sources: Sources) -> None:
    global _maker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(config.threads)
    _maker = Maker(config, sources, Loader())


def _make(record: PlanRecord, folder: Path) -> Unit:
    assert _maker is not None
    return write_files(folder, _maker.make(record))


def _end_with_parent() -> None:
    """End this process once the one that started it was killed, which cannot tell it so."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads of torch, until it is done."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
