"""Distillation of the way down: in closed form for Gaussian data, resumed to the bit, kept in the window."""

import math
from itertools import pairwise
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dmix_core import NoiseSchedule
from dmix_models import ModelCard, ModelConfig, NetworkDenoiser, NoiseConfig, checkpoint
from dmix_models.distillation import (
    DistillationError,
    DistillConfig,
    Halving,
    Teacher,
    clean_of_move,
    distill,
    levels_of,
    moved,
)
from dmix_models.networks import NetworkConfig
from dmix_models.resume import ResumeError
from dmix_models.train_config import Origin

SD = 0.1  # of the data, so small that no clean image is clamped
LEVELS = 40
SMALL = {"levels": LEVELS, "moves_from": 4, "moves": 2, "batch_size": 4, "warmup": 0}
NOISE = NoiseSchedule.linear(100)


class ScaleConfig(NetworkConfig):
    """Networks that multiply their input by a number for each level: all that Gaussian data ask for."""

    kind: Literal["scale"] = "scale"

    def build(self) -> nn.Module:
        return Scale()


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.factors = nn.Parameter(torch.zeros(NOISE.steps))

    def forward(self, x, times, labels=None):
        return x * self.factors[times].reshape(-1, 1, 1, 1)


def factor(level):
    """The best prediction of x_0 ~ N(0, SD^2) from x_t is this times x_t."""
    a = float(NOISE.alpha_bar[level])
    return math.sqrt(a) * SD**2 / (a * SD**2 + 1 - a)


MODEL = ModelConfig(
    name="gaussian",
    role="background",
    size=(6, 6),
    image_channels=1,
    noise=NoiseConfig(steps=NOISE.steps),
    prediction="x0",
    network=ScaleConfig(in_channels=1, out_channels=1),
)


@pytest.fixture
def teacher():
    network = Scale().requires_grad_(False)
    network.factors.copy_(torch.tensor([factor(level) for level in range(1, NOISE.steps + 1)]))
    return NetworkDenoiser(MODEL, network)


def move_factor(t, s, clean_factor):
    """By what a deterministic move from level t to s multiplies a state whose clean image is a multiple of it."""
    a_t, a_s = (float(SPACED.alpha_bar[level]) for level in (t, s))
    return math.sqrt(a_s) * clean_factor + math.sqrt((1 - a_s) / (1 - a_t)) * (1 - math.sqrt(a_t) * clean_factor)


SPACED = NOISE.respace(LEVELS)


def test_a_student_of_gaussian_data_learns_the_factors_that_are_known(teacher, tmp_path):
    config = DistillConfig(**SMALL, steps=400, learning_rate=0.02)
    halving = Halving(teacher, 2, config, tmp_path / "student", {})
    losses = [step.loss for step in halving.run(Origin(), lambda: False)]
    walk = levels_of(LEVELS, 0.9, 4)
    learned = halving.student().network.factors
    for t, between, s in zip(walk[::2], walk[1::2], walk[2::2], strict=False):
        first, second = (factor(SPACED.levels[level]) for level in (t, between))
        both = move_factor(t, between, first) * move_factor(between, s, second)
        ratio = math.sqrt((1 - SPACED.alpha_bar[s]) / (1 - SPACED.alpha_bar[t]))
        expected = (both - ratio) / (math.sqrt(SPACED.alpha_bar[s]) - ratio * math.sqrt(SPACED.alpha_bar[t]))
        assert float(learned[SPACED.levels[t] - 1]) == pytest.approx(float(expected), abs=2e-4)
        assert float(expected) != pytest.approx(factor(SPACED.levels[t]), rel=0.01)  # it had something to learn
    window = learned[: SPACED.levels[walk[-1]]]
    assert torch.allclose(window, teacher.network.factors[: len(window)], atol=1e-3)
    assert losses[-1] < losses[0] / 100


@given(st.integers(1, 39), st.integers(0, 38), st.floats(-1, 1), st.floats(-3, 3))
def test_the_clean_image_of_a_move_is_what_the_move_was_made_with(t, s, clean, x):
    s = min(s, t - 1)
    x_t, clean = torch.tensor([[[[x]]]], dtype=torch.float64), torch.tensor([[[[clean]]]], dtype=torch.float64)
    x_s = moved(SPACED, x_t, clean, t, s)
    assert torch.allclose(clean_of_move(SPACED, x_t, x_s, t, s), clean, atol=1e-6)


@given(st.sampled_from([20, 50, 100, 250]), st.sampled_from([1, 2, 3, 4, 8]))
def test_half_as_many_moves_go_through_every_other_level(levels, moves):
    assert levels_of(levels, 0.9, 2 * moves)[::2] == levels_of(levels, 0.9, moves)
    assert all(s < t for t, s in pairwise(levels_of(levels, 0.9, moves)))


def test_lessons_of_a_round_lead_in_one_move_where_two_lead(teacher):
    maker = Teacher(teacher, 2, DistillConfig(**SMALL))
    lessons = maker.round(3)
    walk = maker.walk
    for t, between, s in zip(walk[::2], walk[1::2], walk[2::2], strict=False):
        mine = lessons.level == SPACED.levels[t]
        x, target = lessons.x[mine], lessons.target[mine]
        assert len(x) == 4
        first = moved(SPACED, x, teacher(x, SPACED.levels[t]).clean, t, between)
        second = moved(SPACED, first, teacher(first, SPACED.levels[between]).clean, between, s)
        assert torch.allclose(moved(SPACED, x, target, t, s), second, atol=1e-5)
    assert not torch.equal(maker.round(4).x, lessons.x)
    assert torch.equal(maker.round(3).x, lessons.x)


# ---- files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tiny, tmp_path):
    """A small class-conditional model of objects with a learned variance, in a folder."""
    torch.manual_seed(0)
    config = ModelConfig(
        name="small",
        role="object",
        size=(8, 8),
        image_channels=3,
        mask_channels=1,
        classes=("hole", "crack"),
        noise=NoiseConfig(steps=50),
        prediction="v",
        variance="learned-range",
        network=tiny.network.model_copy(update={"in_channels": 4, "out_channels": 8, "num_classes": 2}),
    )
    weights = config.network.build().state_dict()
    card = ModelCard(data="discs", command="dmix train", licence="CC0")
    return checkpoint.save(tmp_path / "small", config, weights, card)


HALVED = DistillConfig(levels=20, fine_from=0.8, moves_from=4, moves=1, steps=5, batch_size=2, save_every=2)


def weights_of(folder):
    return checkpoint.read_weights(folder)


def test_a_distillation_ends_in_an_ordinary_checkpoint(saved, tmp_path):
    steps = [*distill(saved, tmp_path / "out", HALVED)]
    assert [(each.moves, each.step) for each in steps] == [(m, n) for m in (2, 1) for n in range(1, 6)]
    assert [each.saved is not None for each in steps] == [n in (4, 9) for n in range(10)]
    student, teacher = checkpoint.load(tmp_path / "out"), checkpoint.load(saved)
    assert student.config == teacher.config.model_copy(update={"name": "out"})
    assert any(not torch.equal(weights_of(saved)[key], value) for key, value in weights_of(tmp_path / "out").items())
    card = checkpoint.read_card(tmp_path / "out")
    assert f"teacher sha256: {teacher.sha256}" in card
    assert "licence: CC0" in card
    assert "--steps 20 --plugin few-steps --set few-steps.calls=1 --plugin ddim" in card
    assert [*distill(saved, tmp_path / "out", HALVED)] == []


@pytest.mark.parametrize("after", [1, 3, 5, 7])
def test_an_interrupted_distillation_ends_in_the_same_bits(saved, tmp_path, after):
    done = [*distill(saved, tmp_path / "whole", HALVED)]
    asked = iter(range(1, 100))
    begun = [*distill(saved, tmp_path / "cut", HALVED, stop=lambda: next(asked) == after)]
    rest = [*distill(saved, tmp_path / "cut", HALVED)]
    key = [(each.moves, each.step, each.loss) for each in done]
    assert [(each.moves, each.step, each.loss) for each in begun + rest][-len(rest) :] == key[-len(rest) :]
    assert len(begun) + len(rest) == len(done)
    whole, cut = weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_other_settings_or_another_teacher_do_not_go_on(saved, tmp_path):
    assert [*distill(saved, tmp_path / "out", HALVED)]
    with pytest.raises(ResumeError, match="batch_size was 2"):
        [*distill(saved, tmp_path / "out", HALVED.model_copy(update={"batch_size": 3}))]
    with pytest.raises(ResumeError, match="teacher sha256"):
        [*distill(tmp_path / "out", tmp_path / "out", HALVED)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"moves_from": 12, "moves": 8}, "12 moves cannot be halved to 8"),
        ({"moves_from": 8, "moves": 8}, "cannot be halved"),
        ({"levels": 20, "moves_from": 32, "moves": 8}, "fewer than 32 of 20 levels"),
    ],
)
def test_moves_that_do_not_fit_are_refused_before_anything_is_read(changes, message, tmp_path):
    with pytest.raises(DistillationError, match=message):
        distill("nowhere", tmp_path / "out", DistillConfig(**changes))
    assert not (tmp_path / "out").exists()
