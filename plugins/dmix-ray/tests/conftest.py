"""A cluster of two workers for all tests, whose processes find a plugin of closed-form models."""

import os
import sys

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed, or has no wheel for this Python")

MODULE = '''
import os

import torch
from dmix_core import Spec
from dmix_core.hookspecs import hookimpl
from dmix_core.testing import GaussianDenoiser


def scene(argument=None, *, device="cpu", dtype="float32"):
    return GaussianDenoiser(Spec((24, 32), 3), mean=0.4, sd=0.2)


class Disc(GaussianDenoiser):
    """States in a file which process composes with it."""

    def __call__(self, x_t, t):
        if mark := os.environ.get("DMIX_RAY_TEST_PID"):
            with open(mark, "a") as file:
                file.write(f"{os.getpid()}\\n")
        return super().__call__(x_t, t)


def disc(argument=None, *, device="cpu", dtype="float32"):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 12), indexing="ij")
    mask = ((x**2 + y**2 < 0.6).float() * 2 - 1)[None]
    return Disc(Spec((12, 12), 3, 1), mean=torch.cat([torch.full((3, 12, 12), -0.5), mask]), sd=0.1)


@hookimpl
def dmix_denoisers():
    return {"ray-scene": scene, "ray-disc": disc}
'''


@pytest.fixture(scope="session")
def pid_file(tmp_path_factory):
    """Where workers state their processes, a line for each call of a network."""
    return tmp_path_factory.mktemp("pid") / "pids"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory, pid_file):
    """The address of a cluster of two CPUs on this machine, whose workers have the toys."""
    toys = tmp_path_factory.mktemp("ray-toys")
    (toys / "dmix_ray_toys.py").write_text(MODULE)
    info = toys / "dmix_ray_toys-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dmix-ray-toys\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dmix]\nray-toys = dmix_ray_toys\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(toys))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(toys), *filter(None, [os.environ.get("PYTHONPATH")])]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("DMIX_RAY_TEST_PID", str(pid_file))
        from ray.cluster_utils import Cluster

        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        yield started.address
        started.shutdown()
        sys.modules.pop("dmix_ray_toys", None)
