"""A plugin of closed-form models, installed as pip leaves it: a module beside its dist-info."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from dmix_cli.main import main

MODULE = '''
import json, time
from dataclasses import dataclass

import torch
from dmix_core import Ancestral, BoxRegion, Denoiser, ExportWriter, HardMask, Prediction, Spec
from dmix_core.hookspecs import hookimpl
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser


def scene(argument=None, *, device="cpu", dtype="float32"):
    return GaussianDenoiser(Spec((24, 24), 3), mean=0.4, sd=0.2)


def thing(argument=None, *, device="cpu", dtype="float32"):
    """A dark disc on a dark ground, 12 x 12, with its mask."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 12), indexing="ij")
    mask = ((x**2 + y**2 < 0.6).float() * 2 - 1)[None]
    return GaussianDenoiser(Spec((12, 12), 3, 1), mean=torch.cat([torch.full((3, 12, 12), -0.5), mask]), sd=0.1)


def nothing(argument=None, *, device="cpu", dtype="float32"):
    return ConstantDenoiser(-torch.ones(4, 12, 12), mask_channels=1)


class NotANumber(GaussianDenoiser):
    def __call__(self, x_t, t):
        return super().__call__(x_t * float("nan"), t)


def nan(argument=None, *, device="cpu", dtype="float32"):
    return NotANumber(Spec((24, 24), 3))


class Slow(GaussianDenoiser):
    def __call__(self, x_t, t):
        time.sleep(0.05)
        return super().__call__(x_t, t)


def slow(argument=None, *, device="cpu", dtype="float32"):
    return Slow(Spec((24, 24), 3))


@dataclass(frozen=True)
class Lift(HardMask):
    """The hard mask under another name, with settings of several types."""

    lift: int = 0
    on: bool = True
    label: str = "none"


@dataclass(frozen=True)
class Hasty(Ancestral):
    share: float = 1.0

    def step(self, noise, x_t, prediction, z, t, s, state):
        return super().step(noise, x_t, prediction, self.share * z, t, s, state)


@dataclass
class Listing:
    indent: int = 0

    def open(self, folder, run):
        return ListingWriter(folder, run, self.indent)


class ListingWriter(ExportWriter):
    def __init__(self, folder, run, indent):
        self.path, self.seed, self.indent, self.boxes = folder / "list.json", run.recipe["seed"], indent, []

    def add(self, sample):
        self.boxes.append(sample.objects[-1].box)
        return []

    def close(self):
        facts = {"images": len(self.boxes), "boxes": self.boxes, "seed": self.seed}
        self.path.write_text(json.dumps(facts, indent=self.indent))
        return [self.path]


def shaded(argument=None, *, device="cpu", dtype="float32", shade: float = 0.0, hue: str = "none"):
    return ConstantDenoiser(torch.full((3, 12, 12), shade))


class Blocks:
    """Latents that are blocks of 2 x 2 pixels."""

    channels = 3

    def size(self, grid):
        return 2 * grid[0], 2 * grid[1]

    def decode(self, clean):
        return torch.pixel_shuffle(clean, 2)

    def encode(self, pictures):
        return torch.pixel_unshuffle(pictures, 2)


def latents(argument=None, *, device="cpu", dtype="float32"):
    return GaussianDenoiser(Spec((6, 6), 12, grey=True, codec=Blocks()), mean=-0.5, sd=0.1)


@dataclass(frozen=True)
class Towards:
    """A denoiser, part of the way to another one."""

    denoiser: Denoiser
    other: Denoiser
    share: float = 0.5

    spec = property(lambda self: self.denoiser.spec)
    noise = property(lambda self: self.denoiser.noise)

    def __call__(self, x_t, t):
        return Prediction(torch.lerp(self.denoiser(x_t, t).clean, self.other(x_t, t).clean, self.share))


@hookimpl
def dmix_denoisers():
    models = scene, thing, nothing, nan, slow, shaded, latents
    return {model.__name__: model for model in models}


@hookimpl
def dmix_wrappers():
    return {"towards": Towards}


@hookimpl
def dmix_classifiers():
    return {"likely": lambda argument=None, *, device="cpu": lambda x_t, t, noise: -x_t.flatten(1).sum(1)}


@hookimpl
def dmix_merge_rules():
    return {"lift-mask": Lift}


@hookimpl
def dmix_steppers():
    return {"hasty": Hasty}


@hookimpl
def dmix_exporters():
    return {"listing": Listing}
'''


def install_toys(folder: Path) -> Path:
    """Write the plugin `dmix-toys` into a folder for PYTHONPATH, which is returned."""
    info = folder / "dmix_toys-1.2.dist-info"
    info.mkdir(parents=True)
    (folder / "dmix_toys.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dmix-toys\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[dmix]\ntoys = dmix_toys\n")
    return folder


@pytest.fixture(scope="session")
def toys(tmp_path_factory) -> Path:
    """A folder for PYTHONPATH with the plugin `dmix-toys`."""
    return install_toys(tmp_path_factory.mktemp("toys"))


@pytest.fixture
def dmix(toys, tmp_path, monkeypatch):
    """Run a command in an empty folder, where `toys` is installed; what would be a traceback is raised."""
    monkeypatch.syspath_prepend(str(toys))
    monkeypatch.chdir(tmp_path)

    def run(*words, exit_code=0):
        result = CliRunner().invoke(main, [str(word) for word in words], prog_name="dmix")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result

    return run


@pytest.fixture
def compose(dmix):
    """Run `dmix compose` with the toys, in few steps."""

    def run(*words, exit_code=0):
        toys = ("--background", "scene", "--object", "thing", "--steps", 20, "--jump-length", 3)
        return dmix("compose", *toys, *words, exit_code=exit_code)

    return run


@pytest.fixture
def save_tile(tmp_path):
    """Save a picture and its mask, (H, W) uint8, in a class of the magnetic tiles' layout; the folder of all."""

    def save(class_name, number, pixels, mask) -> Path:
        folder = tmp_path / "data" / class_name / "Imgs"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"exp1_num_{1000 * number}.jpg")
        Image.fromarray(mask).save(folder / f"exp1_num_{1000 * number}.png")
        return tmp_path / "data"

    return save


@pytest.fixture
def photo(tmp_path) -> Path:
    """A colourful picture, 40 x 30."""
    path = tmp_path / "photo.png"
    pixels = bytes(7 * i * i % 251 for i in range(40 * 30 * 3))
    Image.frombytes("RGB", (40, 30), pixels).save(path)
    return path
