"""DDIM is exact where an exact answer is known; its whole runs are held against diffusers' beside DPM-Solver++'s."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import Ancestral, Ddim, NoiseSchedule, Prediction
from dmix_core.errors import DmixError
from dmix_core.registry import Registry
from dmix_core.testing import check_stepper, noise_schedules

NEVER = 1.0  # ancestral_from
few = settings(deadline=None, max_examples=20)


@pytest.mark.parametrize("stepper", [Ddim(0.0, NEVER), Ddim(0.5, NEVER), Ddim(1.0, NEVER), Ddim()], ids=str)
def test_it_is_a_stepper(stepper):
    check_stepper(stepper, examples=20)


@st.composite
def moves(draw):
    """(table, t, s) with levels t > s."""
    noise = draw(noise_schedules().filter(lambda table: table.steps > 1))
    s, t = sorted(draw(st.lists(st.integers(0, noise.steps), min_size=2, max_size=2, unique=True)))
    return noise, t, s


def draws(*names):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator) for _ in names]


# x_681, epsilon and x_641 of diffusers 0.42.1's DDIMScheduler: linear betas, 25 of 1000 steps, eta = 0
GOLDEN = [
    (-1.3267932, -1.3503500, -1.3171148),
    (0.8250352, 0.7763159, 0.8385190),
    (-0.1902467, -0.1919391, -0.1893776),
    (0.1201473, 0.2033864, 0.0943097),
    (-0.0043577, -0.0989392, 0.0247588),
    (-1.8721939, -1.7871754, -1.8949326),
]


def test_a_step_of_diffusers_ddim():
    x_t, epsilon, x_s = torch.tensor(GOLDEN).T
    noise = NoiseSchedule.linear()
    clean = noise.clean_from("epsilon", epsilon, x_t, 681)
    stepped, _ = Ddim(0.0, NEVER).step(noise, x_t, Prediction(clean), torch.zeros_like(x_t), 681, 641, None)
    assert torch.allclose(stepped, x_s, atol=1e-6, rtol=0)


@few
@given(moves())
def test_with_eta_one_it_is_the_ancestral_step(move):
    noise, t, s = move
    x_t, clean, z = draws("x_t", "clean", "z")
    ours, theirs = (
        stepper.step(noise, x_t, Prediction(clean), z, t, s, None)[0] for stepper in (Ddim(1.0, NEVER), Ancestral())
    )
    assert torch.allclose(ours, theirs, atol=1e-10)


@few
@given(moves(), st.floats(0, 1))
def test_any_eta_keeps_the_marginal(move, eta):
    """From sqrt(a_t) x0 + sqrt(1 - a_t) e to sqrt(a_s) x0 + noise of variance 1 - a_s, partly e, partly z."""
    noise, t, s = move
    a_t, a_s = noise.alpha_bar[[t, s]].tolist()
    (clean,) = draws("clean")

    def stepped(e, z):
        x_t = a_t**0.5 * clean + (1 - a_t) ** 0.5 * e
        return Ddim(eta, NEVER).step(noise, x_t, Prediction(clean), torch.full_like(clean, z), t, s, None)[0]

    origin = stepped(0.0, 0.0)
    variance = (stepped(1.0, 0.0) - origin) ** 2 + (stepped(0.0, 1.0) - origin) ** 2
    assert torch.allclose(origin, a_s**0.5 * clean, atol=1e-10)
    assert torch.allclose(variance, torch.full_like(variance, 1 - a_s), atol=1e-10)


@pytest.mark.parametrize(("start", "t", "late"), [(0.9, 25, True), (0.9, 26, False), (1.0, 2, False), (0.0, 250, True)])
def test_where_moves_become_ancestral(start, t, late):
    x_t, clean, z = draws("x_t", "clean", "z")
    prediction = Prediction(clean, torch.rand(2, 3, 4, 4, dtype=torch.float64))
    move = NoiseSchedule.linear().respace(250), x_t, prediction, z, t, t - 1, None
    assert torch.equal(Ddim(ancestral_from=start).step(*move)[0], Ancestral().step(*move)[0]) is late


@pytest.mark.parametrize("setting", ["eta", "ancestral_from"])
def test_fractions_are_fractions(setting):
    with pytest.raises(DmixError, match=rf"{setting} is 1.5; expected"):
        Ddim(**{setting: 1.5})


def test_it_is_found_by_name():
    assert Registry.load().create("stepper", "ddim", {"eta": "0.3"}) == Ddim(eta=0.3)
