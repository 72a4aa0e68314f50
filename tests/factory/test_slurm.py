"""The engine slurm, on submitit's local executor: the tasks of an array job in processes of this machine."""

import os
import signal

import pytest

from dmix_core.errors import DmixError
from dmix_factory import generate
from dmix_factory.slurm import Slurm, Task
from dmix_factory.testing import check_engine, toy_job
from dmix_factory.testing.toy_jobs import whole

from .conftest import tree

pytest.importorskip("submitit", reason="submitit, the extra slurm of dmix-factory, is not installed")
LOCAL = Slurm(cluster="local", minutes=5)


def test_it_keeps_the_promises_of_an_engine():
    check_engine(LOCAL)


def test_a_set_has_the_bytes_of_one_made_here_and_nothing_is_left_beside_it(installed, photographs, tmp_path):
    settings = {"backgrounds": str(photographs), "objects": ["disc"], "n": 5, "steps": 4, "twins": True}
    settings |= {"timesteps": {"resamples": 0}, "reject": True, "min_contrast": 64, "tries": 3, "strength": "1"}
    generate(**settings, out=tmp_path / "here")
    generate(**settings, out=tmp_path / "set", engine=LOCAL, workers=2)
    assert tree(tmp_path / "set") == tree(tmp_path / "here")
    assert "rejected.jsonl" in tree(tmp_path / "set")
    assert {path.name for path in tmp_path.iterdir()} == {"here", "set"}


class Preempted(Task):
    """A task that the cluster stops once, in the middle of its second sample."""

    def __call__(self):
        make, mark = self.job.worker(), self.journal.with_suffix(".stopped")

        def stopped(record):
            if record.number == self.numbers[1] and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGUSR2)
            return make(record)

        object.__setattr__(self.job, "worker", lambda: stopped)
        super().__call__()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signal here")
def test_a_task_that_is_stopped_is_queued_again_and_goes_on(tmp_path):
    import submitit

    job = toy_job(tmp_path / "set", 4)
    task = Preempted(job, range(4), tmp_path / "part.jsonl")
    executor = submitit.AutoExecutor(tmp_path / "logs", cluster="local")
    executor.update_parameters(timeout_min=5)
    submitted = executor.submit(task)
    submitted.result()
    assert "Requeued job" in submitted.stdout() + submitted.stderr()
    units = whole(job)
    assert tree(tmp_path / "set") == {path: data for unit in units for path, data in unit.files.items()}
    lines = (tmp_path / "part.jsonl").read_text().splitlines()
    assert len(lines) == 4


def test_how_many_tasks_is_asked(tmp_path):
    with pytest.raises(DmixError, match="Expected --workers N"):
        next(LOCAL.units(toy_job(tmp_path / "set", 2), range(2), None))


def test_a_machine_without_slurm_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DmixError, match="There is no SLURM here"):
        next(Slurm().units(toy_job(tmp_path / "set", 2), range(2), 1))
