"""The paper's equations, each written out here with alpha-bar and beta in plain numbers.

x_t  ~ N(sqrt(1 - beta_t) x_{t-1}, beta_t I)                                          (1)
x_{t-1} | x_t, x_0: the Gaussian posterior of eqs. 1 and 4                            (3)
x_t  ~ N(sqrt(abar_t) x_0, (1 - abar_t) I)                                            (4)
others_{t-1} ~ N(sqrt(abar) x_others, (1 - abar) I)                                   (9)
x_{t-1}      ~ N(mu(x_t, t), Sigma(x_t, t))                                           (10)
merged_{t-1} = m x_{t-1} + (1 - m) others_{t-1}                                       (11)
"""

import math
from itertools import pairwise

import pytest
import torch

from dmix_core import BoxRegion, Composer, Descent, Exchange, NoiseSchedule, Spec, TailResampling
from dmix_core.draws import normal
from dmix_core.mattes import blend, stack
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser

STEPS, SEED, SAMPLES = 12, 4, 3
LINEAR = NoiseSchedule.linear()
TABLE = LINEAR.respace(STEPS)
ABAR = TABLE.alpha_bar.tolist()
BETA = [math.nan, *TABLE.betas.tolist()]


def picture(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def drawn(shape, region, purpose, index=0):
    return normal(shape, seed=SEED, samples=range(SAMPLES), region=region, purpose=purpose, index=index)


def close(ours, expected):
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-6)


def mu_and_sigma(x_t, clean, t):
    """Ho et al. 2020, eq. 7, and the square root of its beta-tilde."""
    mu = math.sqrt(ABAR[t - 1]) * BETA[t] / (1 - ABAR[t]) * clean
    mu = mu + math.sqrt(1 - BETA[t]) * (1 - ABAR[t - 1]) / (1 - ABAR[t]) * x_t
    return mu, math.sqrt((1 - ABAR[t - 1]) / (1 - ABAR[t]) * BETA[t])


def mask(side=4):
    """A mask of the object (1, side, side) in [0, 1]: soft from left to right."""
    return torch.linspace(0, 1, side).expand(1, side, side)


def scene(**settings):
    """(steps of a background of 8x8 and an object of 4x4 at (2, 2), whose mask is soft; both Gaussian)."""

    class AsPredicted:
        def __call__(self, layers, progress):
            return blend(layers, stack([layer.matte for layer in layers]))

    means = torch.cat([torch.full((3, 4, 4), -0.4), mask() * 2 - 1])
    thing = GaussianDenoiser(Spec((4, 4), 3, 1), means, torch.tensor([0.3, 0.3, 0.3, 0]).view(4, 1, 1))
    regions = [
        BoxRegion(GaussianDenoiser(Spec((8, 8)), 0.2, 0.5)),
        BoxRegion(thing, (2, 2, 4, 4), name="object", z=1),
    ]
    settings = {"merge": AsPredicted(), "timesteps": Descent(), "merge_from": 0.5, **settings}
    return list(Composer(regions, steps=STEPS, **settings).steps(SAMPLES, SEED))


def test_equation_1_one_step_of_the_forward_process():
    x, noise = picture(1, 2, 3, 4, 4), picture(2, 2, 3, 4, 4)
    for t in range(1, STEPS + 1):
        expected = math.sqrt(1 - BETA[t]) * x + math.sqrt(BETA[t]) * noise
        close(TABLE.diffuse(x, t - 1, t, noise), expected)


def test_equation_1_is_how_a_walk_climbs():
    steps = scene(timesteps=TailResampling(3, 1))
    for index in range(STEPS, STEPS + 3):
        t = steps[index].s
        assert t == steps[index].t + 1
        for before, after, name in zip(
            steps[index - 1].states, steps[index].states, ("background", "object"), strict=True
        ):
            noise = drawn(before.shape[1:], name, "climb", index)
            close(after, math.sqrt(1 - BETA[t]) * before + math.sqrt(BETA[t]) * noise)


@pytest.mark.parametrize("t", [2, 7, STEPS])
def test_equation_3_the_posterior_by_bayes(t):
    """q(x_{t-1} | x_t, x_0) is proportional to q(x_t | x_{t-1}) q(x_{t-1} | x_0): integrated on a grid."""
    x_0, x_t = 0.8, -0.3
    x = torch.linspace(-8, 8, 100_001, dtype=torch.float64)
    likelihood = -((x_t - math.sqrt(1 - BETA[t]) * x) ** 2) / (2 * BETA[t])
    prior = -((x - math.sqrt(ABAR[t - 1]) * x_0) ** 2) / (2 * (1 - ABAR[t - 1]))
    weight = torch.softmax(likelihood + prior, 0)
    mean = (weight * x).sum()
    variance = (weight * (x - mean) ** 2).sum()

    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    ours, log_variance = TABLE.posterior(x_t * one, x_0 * one, t)
    assert ours.item() == pytest.approx(mean.item(), abs=1e-6)
    assert log_variance.exp().item() == pytest.approx(variance.item(), rel=1e-5)


def test_equation_4_from_the_clean_image_to_any_level():
    x_0, noise = picture(1, 2, 3, 4, 4), picture(2, 2, 3, 4, 4)
    for t in range(STEPS + 1):
        close(TABLE.diffuse(x_0, 0, t, noise), math.sqrt(ABAR[t]) * x_0 + math.sqrt(1 - ABAR[t]) * noise)


def test_equation_4_is_equation_1_again_and_again():
    x, samples = torch.full((1, 1, 100, 200), 0.7), 20_000
    for t in range(1, STEPS + 1):
        x = TABLE.diffuse(x, t - 1, t, picture(t, *x.shape))
        deviation = math.sqrt(1 - ABAR[t])
        assert x.mean().item() == pytest.approx(math.sqrt(ABAR[t]) * 0.7, abs=4 * deviation / math.sqrt(samples))
        assert x.std().item() == pytest.approx(deviation, rel=4 / math.sqrt(2 * samples))


def test_equation_9_what_the_others_see_noised_to_the_level_of_the_merged_state():
    """An object that owns nothing is given, over its whole box, the background's clean prediction at level s."""
    nothing = ConstantDenoiser(torch.full((4, 4, 4), -1.0), mask_channels=1)
    photo = picture(3, 3, 8, 8).clamp(-1, 1)
    regions = [BoxRegion(ConstantDenoiser(photo)), BoxRegion(nothing, (2, 2, 4, 4), name="object", z=1)]
    composer = Composer(regions, steps=STEPS, timesteps=Descent(), merge_from=0.0)
    for index, step in enumerate(composer.steps(SAMPLES, SEED)):
        noise = drawn((4, 4, 4), "object", "others", index)[:, :3]
        seen = photo[:, 2:6, 2:6]
        close(step.states[1][:, :3], math.sqrt(ABAR[step.s]) * seen + math.sqrt(1 - ABAR[step.s]) * noise)


def test_equation_10_every_regions_own_step():
    steps = scene(merge_from=1.0)
    starts = [
        drawn(state.shape[1:], name, "start")
        for state, name in zip(steps[0].states, ("background", "object"), strict=True)
    ]
    befores = [starts, *(step.states for step in steps[:-1])]
    for index, (step, before) in enumerate(zip(steps, befores, strict=True)):
        for name, x_t, prediction, x_s in zip(
            ("background", "object"), before, step.predictions, step.states, strict=True
        ):
            mu, sigma = mu_and_sigma(x_t, prediction.clean, step.t)
            close(x_s, mu + sigma * drawn(x_t.shape[1:], name, "step", index))


def test_equation_11_to_the_letter():
    """m x_{t-1} + (1 - m) others_{t-1}: the object with its mask m, the background with 1 - m inside the box."""
    steps = scene(exchange=Exchange(seams="literal"))
    m = mask()
    m_background = torch.ones(1, 8, 8)
    m_background[:, 2:6, 2:6] = 1 - m
    for index, (previous, step) in enumerate(pairwise(steps), start=1):
        t, s = step.t, step.s
        if t > STEPS / 2:
            assert step.merged is None
            continue
        clean_background, clean_object = (prediction.clean[:, :3] for prediction in step.predictions)
        pasted = torch.zeros(SAMPLES, 3, 8, 8)
        pasted[..., 2:6, 2:6] = clean_object
        seen = {"background": pasted, "object": clean_background[..., 2:6, 2:6]}
        for i, (name, own_mask) in enumerate({"background": m_background, "object": m}.items()):
            x_t, shape = previous.states[i][:, :3], previous.states[i].shape[1:]
            mu, sigma = mu_and_sigma(x_t, step.predictions[i].clean[:, :3], t)
            own = mu + sigma * drawn(shape, name, "step", index)[:, :3]
            noise = drawn(shape, name, "others", index)[:, :3]
            others = math.sqrt(ABAR[s]) * seen[name] + math.sqrt(1 - ABAR[s]) * noise
            close(step.states[i][:, :3], own_mask * own + (1 - own_mask) * others)
