"""Engines: what each promises, and how lost workers, failing samples and wrong names are told."""

import json

import pytest
from click.testing import CliRunner

from dmix_cli.main import main
from dmix_core.errors import DmixError
from dmix_data.generated_set import read_info
from dmix_factory import generate
from dmix_factory.engines import usual_workers
from dmix_factory.generate_config import GenerateConfig
from dmix_factory.pool import Processes
from dmix_factory.testing import BrokenPromise, check_engine, toy_job
from dmix_factory.thread_trials import Trial, best, trials

from .conftest import tree

CONFIG = {"backgrounds": "scene", "objects": ["disc"], "n": 4, "steps": 4, "timesteps": {"resamples": 0}}


def test_processes_keep_the_promises_of_an_engine():
    check_engine(Processes())


def backwards(job, numbers, workers):
    yield from reversed([*Processes().units(job, numbers, 1)])


def without_files(job, numbers, workers):
    make = job.worker()
    yield from (make(record).without_files() for record in job.records(numbers))


def with_errors_of_its_own(job, numbers, workers):
    try:
        yield from Processes().units(job, numbers, 1)
    except DmixError as error:
        raise RuntimeError("something failed") from error


def silent_about_losses(job, numbers, workers):
    try:
        yield from Processes().units(job, numbers, 1)
    except DmixError as error:
        if "cannot be made" in str(error):
            raise


@pytest.mark.parametrize(
    ("units", "promise"),
    [
        (backwards, "in the order of their numbers"),
        (without_files, "the files of a unit are there when it comes"),
        (with_errors_of_its_own, "nothing but a DmixError"),
        (silent_about_losses, "a killed worker is survived, or told"),
    ],
)
def test_an_engine_that_breaks_a_promise_is_found(units, promise):
    broken = type("Broken", (), {"units": staticmethod(units)})()
    with pytest.raises(BrokenPromise, match=promise):
        check_engine(broken)


def test_a_worker_of_the_pool_that_is_lost_is_told_and_nobody_writes_afterwards(tmp_path):
    job = toy_job(tmp_path / "set", 40, kills=2)
    with pytest.raises(DmixError, match="A worker process died, perhaps for want of memory"):
        [*Processes().units(job, range(40), 2)]
    left = tree(tmp_path / "set")
    assert len(left) < 80
    assert tree(tmp_path / "set") == left


def test_an_unknown_engine_is_told_with_the_nearest_name(installed, tmp_path):
    words = ["generate", "--backgrounds", "scene", "--object", "disc", "-n", "1", "-o", str(tmp_path / "set")]
    result = CliRunner().invoke(main, [*words, "--engine", "slrum"])
    assert result.exit_code == 2
    assert "No engine 'slrum'. Did you mean 'slurm'?" in result.output
    result = CliRunner().invoke(main, [*words, "--engine", "slurm", "--engine-set", "ray.address=auto"])
    assert result.exit_code == 2
    assert "the engine is slurm" in result.output


def test_progress_goes_on_where_a_set_is_resumed(installed, tmp_path):
    def stop(unit):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(**CONFIG, out=tmp_path / "set", on_unit=stop)
    (tmp_path / "settings.json").write_text(json.dumps(CONFIG))
    words = ["generate", str(tmp_path / "settings.json"), "-o", str(tmp_path / "set"), "--workers", "1", "--resume"]
    result = CliRunner().invoke(main, [*words, "--events", "-q"])
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(event["done"], event["of"]) for event in events] == [(2, 4), (3, 4), (4, 4)]


def test_there_are_as_many_workers_as_cpus_have_threads_for():
    config = GenerateConfig.from_data(CONFIG | {"threads": 2})
    assert usual_workers(config, 7) == 3
    assert usual_workers(config, 1) == 1
    assert usual_workers(config, 64) == 4  # samples
    assert usual_workers(config.model_copy(update={"device": "cuda"}), 64) == 1


def test_more_threads_are_chosen_where_they_make_more_samples():
    assert best([Trial(1, 4, 1.0), Trial(2, 2, 0.6), Trial(4, 1, 0.5)]) == 1
    assert best([Trial(1, 1, 1.0), Trial(2, 1, 0.6), Trial(4, 1, 0.58)]) == 2
    assert best([Trial(1, 1, 1.0)]) == 1


def test_threads_are_tried_as_far_as_there_are_cpus(installed):
    config = GenerateConfig.from_data(CONFIG)
    assert [(each.threads, each.workers) for each in trials(config, None, 4)] == [(1, 4), (2, 2), (4, 1)]
    assert [(each.threads, each.workers) for each in trials(config, 2, 4)] == [(1, 2), (2, 2)]


def test_threads_that_were_measured_are_stated_and_kept(installed, tmp_path, monkeypatch):
    measured = iter([[Trial(1, 1, 2.0), Trial(2, 1, 1.0)]])
    monkeypatch.setattr("dmix_factory.thread_trials.trials", lambda config, workers: next(measured))
    (tmp_path / "settings.json").write_text(json.dumps(CONFIG))
    words = ["generate", str(tmp_path / "settings.json"), "-o", str(tmp_path / "set"), "--workers", "1"]
    words += ["--threads", "auto"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "2 threads: 1.00 s for a sample, 1.00 samples in a second by 1 worker" in result.stderr
    info = read_info(tmp_path / "set")
    assert (info.made_with["threads"], info.source["threads"]) == ("2", 2)
    (tmp_path / "set/images/000001.png").unlink()
    result = CliRunner().invoke(main, [*words, "--resume"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, [*words, "--shard", "1/2"])
    assert result.exit_code == 2
    assert "shards have one number" in result.output
