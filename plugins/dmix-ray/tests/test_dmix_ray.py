"""Sets that a Ray cluster generates have the bytes of those made here, also where a worker is killed."""

import os
import signal

import pytest
from click.testing import CliRunner

from dmix_cli.main import main
from dmix_core.errors import DmixError
from dmix_factory import generate
from dmix_factory.testing import check_engine
from dmix_ray import Ray

SETTINGS = {"backgrounds": "ray-scene", "objects": ["ray-disc"], "n": 16, "steps": 6, "timesteps": {"resamples": 0}}


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory):
    """The files of the set as this process makes it."""
    out = tmp_path_factory.mktemp("whole") / "set"
    generate(**SETTINGS, out=out)
    return tree(out)


def test_it_keeps_the_promises_of_an_engine(cluster):
    check_engine(Ray(address=cluster))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_a_set_is_whole_although_a_worker_was_killed(cluster, whole, pid_file, tmp_path):
    killed, others = [], set()

    def kill(unit):
        if unit.entries[0].number == 3:
            killed.append(int(pid_file.read_text().splitlines()[-2]))  # the last line may still be written
            os.kill(killed[0], signal.SIGKILL)
            others.update(pid_file.read_text().split())

    report = generate(**SETTINGS, out=tmp_path / "set", engine=Ray(address=cluster), workers=2, on_unit=kill)
    assert killed[0] != os.getpid()
    assert report.made == SETTINGS["n"]
    assert {*pid_file.read_text().split()} - others, "no worker was started in its place"
    assert tree(tmp_path / "set") == whole


def test_more_workers_than_the_cluster_has_room_for_are_refused(cluster, tmp_path):
    with pytest.raises(DmixError, match="The cluster has 2 CPU, 0 GPU, and each worker claims 1 CPU"):
        generate(**SETTINGS, out=tmp_path / "set", engine=Ray(address=cluster), workers=3)


def test_a_cluster_that_does_not_answer_is_told(cluster, tmp_path):
    words = ["generate", "--backgrounds", "ray-scene", "--object", "ray-disc", "-n", "2", "-o", str(tmp_path / "set")]
    result = CliRunner().invoke(main, [*words, "--engine", "ray", "--engine-set", "address=127.0.0.1:9"])
    assert result.exit_code == 1
    assert "No Ray cluster answers at '127.0.0.1:9'" in result.output
