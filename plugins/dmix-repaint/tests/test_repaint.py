"""RePaint's walk, to the letter, and RePaint itself as a composition: a model, and above it a picture with a hole."""

import json
import re
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dmix_core.composer
from dmix_core import BoxRegion, Composer, NoiseSchedule, Prediction, Spec, StillImage
from dmix_core.errors import DmixError
from dmix_core.images import read_image, to_uint8, write_png
from dmix_core.recipe import Recipe
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser, check_timestep_schedule
from dmix_repaint import RePaint

PACKAGE = Path(__file__).resolve().parents[1]
ROWS = json.loads((PACKAGE.parents[1] / "tests/reference/repaint_schedules.json").read_text())

# ---- the walk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [RePaint(), RePaint(1, 3), RePaint(7, 2, 40), RePaint(5, 1)], ids=str)
def test_it_is_a_timestep_schedule(schedule):
    check_timestep_schedule(schedule, examples=40)


def in_repaints_numbers(walk):
    """RePaint counts T-1, ..., 0 and -1 for the clean image."""
    return [level - 1 for level in walk]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "{steps},{jump_length},{jump_n_sample}".format(**row))
def test_it_is_repaints_walk(row):
    settings = {key: row[key] for key in ("jump_length", "jump_n_sample", "start_resampling")}
    assert in_repaints_numbers(RePaint(**settings)(row["steps"])) == row["times"]


GOLDEN = {  # (T, jump_length, jump_n_sample, start_resampling): sha256 of RePaint's list, joined by commas
    (250, 10, 10, None): "6e0acdaed798beec",
    (250, 20, 10, None): "f26a68c624374913",
    (250, 10, 1, None): "195b1351718672aa",
    (250, 10, 2, None): "388423fa7fb25eb4",
    (250, 1, 10, None): "87c0b7232df39405",
    (250, 5, 5, None): "6584a83877e3ac02",
    (100, 10, 10, None): "a16f7d21bfdff7fa",
    (1000, 10, 10, None): "67c24cb9322f5051",
    (20, 5, 3, None): "0bc2f4884fabe6c9",
    (10, 3, 2, None): "6484d5cc335dab50",
    (10, 9, 2, None): "ff23e455afd93f3b",
    (10, 10, 10, None): "427d0c36a5cf6086",
    (250, 10, 10, 100): "0c323b087b82012e",
    (250, 10, 10, 20): "1902e1f977f35bb8",
}


@pytest.mark.parametrize(("steps", "length", "samples", "start"), GOLDEN)
def test_it_has_repaints_checksum(steps, length, samples, start):
    listed = ",".join(map(str, in_repaints_numbers(RePaint(length, samples, start)(steps))))
    assert sha256(listed.encode()).hexdigest()[:16] == GOLDEN[steps, length, samples, start]


def test_a_small_walk_literally():
    assert RePaint(3, 2)(8) == [8, 7, 6, 5, 4, 5, 6, 7, 6, 5, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1, 0]


@given(st.integers(1, 80), st.integers(1, 30), st.integers(1, 5))
def test_its_length_and_its_cost(steps, length, samples):
    walk = RePaint(length, samples)(steps)
    climbed = length * (samples - 1) * len(range(0, steps - length, length))
    assert len(walk) == steps + 1 + 2 * climbed
    assert sum(s < t for t, s in pairwise(walk)) == steps + climbed
    assert walk.count(0) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"jump_length": 0}, "jump_length is 0; expected at least 1"), ({"jump_n_sample": 0}, "jump_n_sample is 0; exp")],
)
def test_what_cannot_be_walked_is_refused(settings, message):
    with pytest.raises(DmixError, match=message):
        RePaint(**settings)


def test_it_is_found_by_name_where_it_is_installed():
    made = Registry.load().create("timestep schedule", "repaint", {"jump_length": "5", "start_resampling": "100"})
    assert made == RePaint(5, 10, 100)


# ---- the golden numbers of RePaint's loop --------------------------------------------------------------------------


class Toy:
    """eps = 0.7 x + t / 10000 and learned variance v = tanh(x) / 2, clipped."""

    spec, noise = Spec((8, 8)), NoiseSchedule.linear()

    def __call__(self, x, t):
        clean = self.noise.clean_from("epsilon", 0.7 * x + (t - 1) / 10000, x, t).clamp(-1, 1)
        return Prediction(clean, (0.5 * torch.tanh(x) + 1) / 2)


def draws_in_repaints_order(moves):
    """(x_T, then by step: z of a descent, eps of the known part at the level it leaves, eps of a climb)."""
    random = torch.Generator().manual_seed(0)
    z, known, climb = {}, {}, {}

    def randn():
        return torch.randn(1, 3, 8, 8, generator=random)

    start = randn()
    for index, (t, s) in enumerate(moves):
        if s > t:
            climb[index] = randn()
        else:
            z[index] = randn()
            if index:
                known[index] = randn()
    return start, z, known, climb


def test_the_composer_gives_repaints_golden_numbers(monkeypatch):
    """RePaint puts the known part in before each call of its network, the composer after the one before.

    So the noise of the known part at step i + 1 is what the composer draws for the others at step i. After a climb
    RePaint puts it in anew; there the climb's noise is chosen so that it leads to the same pixels.
    """
    photo, is_known = torch.linspace(-1, 1, 192).view(3, 8, 8), torch.arange(8).expand(1, 8, 8) < 4
    picture = StillImage(torch.cat([photo, 2.0 * is_known - 1]), mask_channels=1)
    regions = [BoxRegion(Toy()), BoxRegion(picture, name="photo", z=1)]
    composer = Composer(regions, steps=20, timesteps=RePaint(5, 3), merge_from=0)

    moves, noise, zeros = list(pairwise(composer.walk)), composer.noises[0], torch.zeros(1, 3, 8, 8)
    start, z, known, climb = draws_in_repaints_order(moves)
    steps = []

    def climbing(index):
        (t, s), x = moves[index], steps[-1].states[0]
        aim = noise.diffuse(photo, 0, s, known.get(index + 1, zeros))
        leading = (aim - noise.diffuse(x, t, s, zeros)) / noise.diffuse(zeros, t, s, torch.ones(1, 1, 1, 1))
        return torch.where(is_known, leading, climb[index])

    def feed(shape, *, region, purpose, index, **_):
        return {
            "start": lambda: start,
            "step": lambda: z[index],
            "others": lambda: known.get(index + 1, zeros),
            "climb": lambda: climbing(index),
        }[purpose]()

    def noise_of_region(shape, device, **key):
        return lambda purpose, index=0: feed(shape, purpose=purpose, index=index, **key)

    monkeypatch.setattr(dmix_core.composer, "RegionNoise", noise_of_region)
    for step in composer.steps():
        steps.append(step)

    x = steps[-1].predictions[0].clean  # RePaint leaves its last image as painted, the known part as well
    assert sum(step.predictions is not None for step in steps) == 50
    assert x.sum().item() == pytest.approx(-5.478034, abs=1e-4)
    assert x.mean().item() == pytest.approx(-0.028531, abs=1e-6)
    assert x.std().item() == pytest.approx(0.586982, abs=1e-6)
    assert x[0, 0, 0, 0].item() == -1
    assert x[0, 2, 7, 7].item() == pytest.approx(-0.090027, abs=1e-6)


# ---- the README ----------------------------------------------------------------------------------------------------


def blocks(language):
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def plain_model(monkeypatch):
    """Instead of the bundled network one in closed form, for speed."""
    monkeypatch.setattr("dmix_models.load", lambda name: GaussianDenoiser(Spec((64, 64)), 0.2, 0.1))


def test_the_readmes_python(plain_model):
    names = {}
    exec(blocks("python")[0], names)
    image, tile, known = names["image"], names["tile"], names["known"] > 0
    assert torch.equal(image[0][known.expand_as(tile)], tile[known.expand_as(tile)])
    hole = image[0][~known.expand_as(tile)]
    assert hole.mean().item() == pytest.approx(0.2, abs=0.01)
    assert not (hole == tile[~known.expand_as(tile)]).any()


def test_the_readmes_recipe(tmp_path, monkeypatch):
    """The photograph comes back bit by bit, and where it is transparent another picture is painted."""
    monkeypatch.chdir(tmp_path)
    pixels = (torch.arange(4 * 64 * 64) % 256).to(torch.uint8).view(4, 64, 64)
    write_png("holed.png", pixels)
    registry = Registry.load()
    monkeypatch.setattr(registry, "denoiser", quick(registry.denoiser))
    recipe = Recipe.from_text(blocks("json")[0]).model_copy(update={"steps": 20})  # fewer, for speed
    image = recipe.composer(registry).compose().image[0]
    known = (read_image("holed.png", channels=4)[3:] >= 0).expand(3, 64, 64)
    assert torch.equal(to_uint8(image)[known], pixels[:3][known])
    assert not torch.equal(to_uint8(image)[~known], pixels[:3][~known])


def quick(denoiser):
    def made(reference, *rest, **settings):
        return GaussianDenoiser(Spec((64, 64))) if reference == "tiles" else denoiser(reference, *rest, **settings)

    return made
