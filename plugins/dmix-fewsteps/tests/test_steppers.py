"""The stepper is exact where an exact answer is known, and of the order that it claims."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import Ancestral, Ddim, NoiseSchedule, Prediction, Spec
from dmix_core.errors import DmixError
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser, check_stepper, noise_schedules
from dmix_fewsteps import DpmSolver2M, FewSteps
from dmix_fewsteps.steppers import Earlier

NEVER = 1.0  # ancestral_from
few = settings(deadline=None, max_examples=20)


@pytest.mark.parametrize("stepper", [DpmSolver2M(NEVER), DpmSolver2M()], ids=str)
def test_it_is_a_stepper(stepper):
    check_stepper(stepper, examples=20)


@st.composite
def moves(draw):
    """(table, u, t, s) with levels u > t > s."""
    noise = draw(noise_schedules().filter(lambda table: table.steps > 2))
    s, t, u = sorted(draw(st.lists(st.integers(0, noise.steps), min_size=3, max_size=3, unique=True)))
    return noise, u, t, s


def draws(*names):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator) for _ in names]


@few
@given(moves())
def test_without_news_the_second_order_is_ddim(move):
    noise, u, t, s = move
    x_t, clean, z = draws("x_t", "clean", "z")
    first, _ = Ddim(0.0, NEVER).step(noise, x_t, Prediction(clean), z, t, s, None)
    for earlier in (None, Earlier(u, clean)):
        stepped, _ = DpmSolver2M(NEVER).step(noise, x_t, Prediction(clean), z, t, s, earlier)
        assert torch.allclose(stepped, first, atol=1e-10)


@few
@given(moves())
def test_two_moves_with_one_prediction_are_one(move):
    noise, u, t, s = move
    x_u, clean, z = draws("x_u", "clean", "z")
    for stepper in (Ddim(0.0, NEVER), DpmSolver2M(NEVER)):
        x_t, state = stepper.step(noise, x_u, Prediction(clean), z, u, t, None)
        twice, _ = stepper.step(noise, x_t, Prediction(clean), z, t, s, state)
        assert torch.allclose(twice, stepper.step(noise, x_u, Prediction(clean), z, u, s, None)[0], atol=1e-8)


# ---- the probability-flow ODE of a Gaussian, solved ----------------------------------------------------------------

MEAN, SD = 0.3, 0.5
LEVELS = 960
# log-SNR falls evenly from level 1 to level 960: half of it from 3 to -4
EVEN = NoiseSchedule.from_alpha_bar(
    torch.cat([torch.ones(1), torch.sigmoid(2 * torch.linspace(3, -4, LEVELS, dtype=torch.float64))])
)


def flowed(noise, x_t, t, s):
    """Where the ODE carries x_t: the number of standard deviations from the mean stays."""
    a_t, a_s = noise.alpha_bar[[t, s]].tolist()
    widths = [(a * SD**2 + 1 - a) ** 0.5 for a in (a_t, a_s)]
    return a_s**0.5 * MEAN + widths[1] / widths[0] * (x_t - a_t**0.5 * MEAN)


def solved(stepper, noise, x, walk):
    denoiser = GaussianDenoiser(Spec((4, 4)), MEAN, SD, noise)
    state = stepper.init(x)
    for t, s in pairwise(walk):
        prediction = denoiser(x, t)
        x, state = stepper.step(noise, x, prediction, torch.zeros_like(x), t, s, state)
    return x


def order(stepper):
    """The exponent with which the error falls, between 20 and 160 moves from level 960 to level 1."""
    (x,) = draws("x")
    exact = flowed(EVEN, x, LEVELS, 1)
    walks = [[*range(LEVELS, 1, -LEVELS // moves), 1] for moves in (20, 160)]
    errors = [(solved(stepper, EVEN, x, walk) - exact).abs().max().log2() for walk in walks]
    return float(errors[0] - errors[1]) / 3


def test_ddim_is_of_first_order_and_dpm_solver_of_second():
    assert order(Ddim(0.0, NEVER)) == pytest.approx(1, abs=0.15)
    assert order(DpmSolver2M(NEVER)) == pytest.approx(2, abs=0.15)


def test_thirty_moves_to_the_merge_window():
    """The README's figures: how far 30 moves end from where the ODE leads, in standard deviations of x_T."""
    noise = NoiseSchedule.linear().respace(250)
    (x,) = draws("x")
    exact = flowed(noise, x, 250, 25)
    errors = [
        (solved(stepper, noise, x, FewSteps()(250)[:31]) - exact).abs().max()
        for stepper in (Ddim(0.0, NEVER), DpmSolver2M(NEVER))
    ]
    assert errors[0].item() == pytest.approx(0.062, abs=1e-3)
    assert errors[1].item() == pytest.approx(0.0007, abs=1e-4)


# ---- ancestral moves -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "t", "late"), [(0.9, 25, True), (0.9, 26, False), (1.0, 2, False), (0.0, 250, True)])
def test_where_moves_become_ancestral(start, t, late):
    noise = NoiseSchedule.linear().respace(250)
    x_t, clean, z = draws("x_t", "clean", "z")
    prediction = Prediction(clean, torch.rand(2, 3, 4, 4, dtype=torch.float64))
    move = noise, x_t, prediction, z, t, t - 1, Earlier(t + 1, -clean)
    assert torch.equal(DpmSolver2M(start).step(*move)[0], Ancestral().step(*move)[0]) is late


def test_fractions_are_fractions():
    with pytest.raises(DmixError, match=r"ancestral_from is 1.5; expected"):
        DpmSolver2M(ancestral_from=1.5)


def test_it_is_found_by_name_where_it_is_installed():
    assert Registry.load().create("stepper", "dpm-solver-2m", {"ancestral_from": "1"}) == DpmSolver2M(1.0)
