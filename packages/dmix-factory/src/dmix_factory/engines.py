"""Engines: what makes the samples of a set, in this process, in others, or on other machines.

Engines come from plugins, through the hook `dmix_engines`; those of dmix-factory are in `dmix_factory.plugin`. Which
one is chosen, and with how many workers, changes no byte of a set.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from dmix_core.errors import DmixError
from dmix_core.loading import Loader

from .generate_config import GenerateConfig
from .making import Maker
from .planning import PlanRecord, plan
from .set_folder import write_files
from .sources import Sources
from .units import Unit

__all__ = ["AHEAD", "Engine", "EngineError", "Job", "Make", "PlanRecord", "Unit", "Units", "in_order", "usual_workers"]

AHEAD = 3
"""Samples that wait for each worker, so that none is idle while another finishes a slow one."""

Make = Callable[[PlanRecord], Unit]
"""Makes the samples of a record, with the content of their files; raises DmixErrors."""
Units = Generator[Unit, None, None]
Waiting = TypeVar("Waiting")


class EngineError(DmixError):
    """Workers that cannot be started, or that were lost."""


@dataclass(frozen=True)
class Job:
    """What an engine works on. It can be pickled, and sent to any process that finds the same files and packages.

    Attributes:
        config: what is generated.
        sources: what it is generated from.
        folder: of the set; its folders are there.
        maker: what makes samples in this process already; it stays here when the job is sent.
    """

    config: GenerateConfig
    sources: Sources
    folder: Path
    maker: Maker | None = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"maker": None}

    def records(self, numbers: Iterable[int]) -> Iterator[PlanRecord]:
        """What the samples of these numbers show, one at a time; the same in every process."""
        return plan(self.config, self.sources, numbers)

    def worker(self) -> Make:
        """What makes samples in this process, with its models loaded, and the config's number of torch's threads.

        Raises:
            DmixError: what the config names is not there.
        """
        torch.set_num_threads(self.config.threads)
        return (self.maker or Maker(self.config, self.sources, Loader())).make

    def write(self, unit: Unit) -> Unit:
        """Write the files of a unit, each whole or not at all; returns it without their content.

        Raises:
            WriteError: one cannot be written.
        """
        return write_files(self.folder, unit)


class Engine(Protocol):
    """Has workers make the samples of a set. Plugins provide engines through the hook `dmix_engines`."""

    def units(self, job: Job, numbers: Sequence[int], workers: int | None) -> Units:
        """Make the samples of these records and write their files.

        Args:
            job: makes records of numbers (`records`), units of records (`worker`), files of units (`write`).
            numbers: of the records, each once, rising.
            workers: how many work at a time; None: as many as are usual where the engine works.

        Yields:
            Units without the content of their files, in the order of the numbers, each once its files are written.

        Raises:
            DmixError: what a worker raised, once the units before it were yielded; or a worker was lost for good.
        """
        ...


def in_order(
    records: Iterable[PlanRecord],
    submit: Callable[[PlanRecord], Waiting],
    result: Callable[[Waiting], Unit],
    ahead: int,
) -> Units:
    """Units in the order of their records, of which so many are in work at a time.

    Args:
        submit: has a record made elsewhere, and returns at once what is waited for.
        result: waits for it.
    """
    waiting: deque[Waiting] = deque()
    for record in records:
        waiting.append(submit(record))
        if len(waiting) == ahead:
            yield result(waiting.popleft())
    while waiting:
        yield result(waiting.popleft())


def usual_workers(config: GenerateConfig, cpus: int | None = None) -> int:
    """As many workers as CPUs have threads for, at most one for each sample; 1 on other devices, which they share.

    Args:
        cpus: how many there are; None: those of this machine that this process may use.
    """
    if config.device != "cpu":
        return 1
    return max(1, min((cpus or usable_cpus()) // config.threads, config.n))


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
