"""A plugin of closed-form models, installed as pip leaves it, and a folder of photographs of several sizes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MODULE = '''
import torch
from dmix_core import Spec
from dmix_core.hookspecs import hookimpl
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser


def scene(argument=None, *, device="cpu", dtype="float32"):
    return GaussianDenoiser(Spec((40, 56), 3), mean=0.4, sd=0.2)


def disc(argument=None, *, device="cpu", dtype="float32"):
    """A dark disc, 12 x 12, with its mask."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 12), indexing="ij")
    mask = ((x**2 + y**2 < 0.6).float() * 2 - 1)[None]
    return GaussianDenoiser(Spec((12, 12), 3, 1), mean=torch.cat([torch.full((3, 12, 12), -0.5), mask]), sd=0.1)


def nothing(argument=None, *, device="cpu", dtype="float32"):
    return ConstantDenoiser(-torch.ones(4, 12, 12), mask_channels=1)


@hookimpl
def dmix_denoisers():
    return {model.__name__: model for model in (scene, disc, nothing)}
'''
SIZES = [(40, 56), (64, 48), (33, 70), (90, 90), (48, 48)]


@pytest.fixture(scope="session")
def toys(tmp_path_factory) -> Path:
    """A folder for PYTHONPATH with the plugin `dmix-discs`."""
    folder = tmp_path_factory.mktemp("toys")
    (folder / "dmix_discs.py").write_text(MODULE)
    info = folder / "dmix_discs-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dmix-discs\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[dmix]\ndiscs = dmix_discs\n")
    return folder


@pytest.fixture
def installed(toys, monkeypatch):
    """The toys are installed in this process, and in those that it starts."""
    monkeypatch.syspath_prepend(str(toys))
    monkeypatch.setenv("PYTHONPATH", str(toys))


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """A folder of grey and coloured photographs, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("normal")
    draws = np.random.default_rng(1)
    for i, (height, width) in enumerate(SIZES):
        shape = (height, width) if i % 2 else (height, width, 3)
        path = folder / ("inner" if i == 4 else "") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draws.integers(0, 256, shape, np.uint8)).save(path)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
