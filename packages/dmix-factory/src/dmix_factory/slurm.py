"""The engine `slurm`: the tasks of an array job, through submitit."""

import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from dmix_core.errors import DmixError
from dmix_core.files import writable_folder
from dmix_data.generated_set import RejectedEntry, SampleEntry

from .engines import EngineError, Job, Unit, Units
from .set_folder import append_lines, cut

POLL = 0.5
"""Seconds between two looks at what the tasks have written."""
MOST_TIMEOUTS = 1000
"""How often a task is queued again because its time was over."""


@dataclass(frozen=True)
class Slurm:
    """Tasks of an array job of SLURM, each of which makes a part of the samples and writes their files itself.

    The set, photographs and models lie in folders that all nodes have. A task that SLURM stops goes on where it was
    once it is queued again. Logs lie beside the set, in OUT-slurm, until the set is whole.

    Args:
        cluster: "local" runs the tasks on this machine, without SLURM.
        minutes: that a task may run before it is queued again.
        gpus: of each task.
        memory_gb: of each task; None: what the cluster gives.
        partition, account: as sbatch has them.
    """

    cluster: Literal["slurm", "local"] = "slurm"
    minutes: int = 24 * 60
    gpus: int = 0
    memory_gb: float | None = None
    partition: str | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        if self.minutes < 1 or self.gpus < 0 or (self.memory_gb or 1) <= 0:
            raise ValueError("expected minutes from 1 on, gpus from 0 on and more than 0 gigabytes of memory")

    def units(self, job: Job, numbers: Sequence[int], workers: int | None) -> Units:
        if not numbers:
            return
        if workers is None:
            raise EngineError("An array job of how many tasks? Expected --workers N.")
        folder = writable_folder(job.folder.with_name(f"{job.folder.name}-slurm")).resolve()
        run = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
        shares = [numbers[start::workers] for start in range(min(workers, len(numbers)))]
        tasks = [Task(job, share, run / f"part-{place}.jsonl") for place, share in enumerate(shares)]
        with _submitted(self._executor(run, job.config.threads), tasks) as parts:
            for place in range(len(numbers)):
                yield parts[place % len(parts)].unit()
        shutil.rmtree(run)
        with suppress(OSError):  # an earlier run's logs are there
            folder.rmdir()

    def _executor(self, run: Path, threads: int) -> Any:
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise EngineError(
                'The engine slurm needs submitit; install it with pip install "dmix-factory[slurm]".'
            ) from error
        again = {f"{cluster}_max_num_timeout": MOST_TIMEOUTS for cluster in ("slurm", "local")}
        try:
            executor = submitit.AutoExecutor(run, cluster=self.cluster, **again)
        except RuntimeError as error:
            raise EngineError(
                f"There is no SLURM here ({error}). Expected a machine that submits to it; the setting cluster=local "
                "runs the tasks here."
            ) from error
        executor.update_parameters(
            name="dmix",
            timeout_min=self.minutes,
            cpus_per_task=threads,
            gpus_per_node=self.gpus or None,
            mem_gb=self.memory_gb,
            slurm_partition=self.partition,
            slurm_account=self.account,
        )
        return executor


@contextmanager
def _submitted(executor: Any, tasks: "Sequence[Task]") -> Iterator[list["_Part"]]:
    """The tasks at work; what is left of them at the end is cancelled."""
    jobs = executor.submit_array(tasks)
    try:
        yield [_Part(task.journal, submitted) for task, submitted in zip(tasks, jobs, strict=True)]
    finally:
        for each in jobs:
            each.cancel(check=False)


class Line(BaseModel):
    """What a task states of a record: its unit, or why there is none."""

    entries: tuple[SampleEntry, ...] = ()
    rejected: tuple[RejectedEntry, ...] = ()
    error: str | None = None


class Task:
    """A part of the records, made by one task: a record's files are written first, and then its line of the journal.

    Args:
        numbers: of the records.
        journal: a file that this task alone writes to.
    """

    def __init__(self, job: Job, numbers: Sequence[int], journal: Path) -> None:
        self.job, self.numbers, self.journal = replace(job, folder=job.folder.resolve()), numbers, journal

    def __call__(self) -> None:
        """Make the records that have no line yet."""
        cut(self.journal)
        done = self.journal.read_bytes().count(b"\n")
        try:
            make = self.job.worker()
            for record in self.job.records(self.numbers[done:]):
                unit = self.job.write(make(record))
                append_lines(self.journal, [Line(entries=unit.entries, rejected=unit.rejected)])
        except DmixError as error:
            append_lines(self.journal, [Line(error=str(error))])

    def checkpoint(self) -> Any:
        """What is queued in its place when it is stopped: the same, which goes on where it was."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Part:
    """What a submitted task has made, in the order of its records."""

    def __init__(self, journal: Path, submitted: Any) -> None:
        self._journal, self._submitted = journal, submitted
        self._read, self._lines = 0, deque[Line]()

    def unit(self) -> Unit:
        """The next unit, once its files are written.

        Raises:
            EngineError: it cannot be made, or the task has ended without it.
        """
        while not self._lines:
            over = self._submitted.done()  # asked before the journal is read, so that nothing is overlooked
            self._look()
            if over and not self._lines:
                raise EngineError(
                    f"The task {self._submitted.job_id} ended before all of its samples were made "
                    f"({self._submitted.state}); its logs are in {str(self._journal.parent)!r}. Go on with --resume."
                )
            if not self._lines:
                time.sleep(POLL)
        line = self._lines.popleft()
        if line.error is not None:
            raise EngineError(line.error)
        return Unit(line.entries, line.rejected)

    def _look(self) -> None:
        """Read what is new, as far as it is whole."""
        if not self._journal.exists():
            return
        with self._journal.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._lines.extend(map(Line.model_validate_json, whole.splitlines()))
