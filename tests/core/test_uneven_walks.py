"""Walks whose neighbours differ by more than one level: what holds for single steps holds for long ones."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import Box, BoxRegion, Composer, Exchange, NoiseSchedule, Spec, StillImage
from dmix_core.draws import normal
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser, noise_schedules

LINEAR = NoiseSchedule.linear()
FEW = [30, 22, 14, 9, 6, 3, 1, 0]
RESAMPLED = [30, 21, 12, 6, 3, 0, 4, 9, 5, 2, 0, 3, 0]
CLIMBING = [30, 15, 24, 10, 0, 30, 8, 1, 0]
WALKS = pytest.mark.parametrize("walk", [FEW, RESAMPLED, CLIMBING, [30, 0]], ids=str)


@st.composite
def uneven(draw, steps):
    """Walks from `steps` to 0 that leave levels out, down and up."""
    levels = [steps, *draw(st.lists(st.integers(0, steps), max_size=12)), 0]
    return [levels[0], *(s for t, s in pairwise(levels) if s != t)]


def sampled(walk, regions, samples=2, seed=5, **options):
    options = {"steps": walk[0], "timesteps": lambda _: walk, "merge_from": 0.7, **options}
    return list(Composer(regions, **options).steps(samples, seed))


def thinned(noise, walk):
    """(The table of the levels that a walk visits, and the walk over it.)"""
    visited = sorted({0, *walk})
    table = NoiseSchedule(noise.alpha_bar[visited], tuple(noise.levels[level] for level in visited))
    return table, [visited.index(level) for level in walk]


def strided(region, walk, samples=2, seed=5):
    """DDPM of one model alone, on the table respaced to the levels that the walk visits: its states."""
    table, walk = thinned(region.denoiser.noise.respace(walk[0]), walk)

    def draw(purpose, index=0):
        key = {"seed": seed, "samples": range(samples), "region": region.name, "purpose": purpose, "index": index}
        return normal(region.denoiser.spec.shape, **key)

    x, states = draw("start"), []
    for index, (t, s) in enumerate(pairwise(walk)):
        if s > t:
            x = table.diffuse(x, t, s, draw("climb", index))
        else:
            mean, log_variance = table.posterior(x, region.denoiser(x, table.levels[t]).clean, t, s)
            x = mean + (log_variance / 2).exp() * draw("step", index) if s else mean
        states.append(x)
    return states


def scene(mean=0.3, sd=0.4, size=(8, 10)):
    return BoxRegion(GaussianDenoiser(Spec(size), mean, sd))


def disc(side=6):
    axis = torch.linspace(-1, 1, side)
    return ((axis[:, None] ** 2 + axis**2 < 0.6).float() * 2 - 1)[None]


def thing(mask, mean=-0.5, sd=0.3, box=(3, 1, 6, 6)):
    """An object whose colours are Gaussian and whose mask (1, h, w) is always this one."""
    means = torch.cat([torch.full((3, *mask.shape[1:]), float(mean)), mask])
    sds = torch.tensor([sd, sd, sd, 0.0]).view(4, 1, 1)
    return BoxRegion(GaussianDenoiser(Spec(tuple(mask.shape[1:]), 3, 1), means, sds), box, name="thing", z=1)


def all_equal(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


# ---- one region alone ----------------------------------------------------------------------------------------------


@given(noise_schedules(200), st.data())
def test_a_long_step_is_one_of_the_table_without_the_levels_between(noise, data):
    s, t = sorted(data.draw(st.sets(st.integers(0, noise.steps), min_size=2, max_size=2)))
    clean, x_t = torch.randn(2, 1, 2, 3, 3, generator=torch.Generator().manual_seed(t))
    spread = data.draw(st.none() | st.floats(0, 1).map(torch.tensor))
    table, (above, below) = thinned(noise, [t, s])
    mean, log_variance = noise.posterior(x_t, clean, t, s, spread)
    assert torch.equal(mean, table.posterior(x_t, clean, above, below, spread)[0])
    if s > 0:  # into level 0 the logarithm is another level's, and no noise is added
        assert torch.equal(log_variance, table.posterior(x_t, clean, above, below, spread)[1])
    assert torch.equal(noise.diffuse(clean, s, t, x_t), table.diffuse(clean, below, above, x_t))


@given(st.integers(2, 200).flatmap(uneven), st.sampled_from([0.0, 0.8, 1.0]))
@settings(max_examples=30)
def test_one_region_alone_is_strided_ddpm_bit_for_bit(walk, merge_from):
    region = scene(size=(4, 3))
    steps = sampled(walk, [region], merge_from=merge_from)
    assert all_equal([step.states[0] for step in steps], strided(region, walk))


def moments(noise, walk, mean, variance, start):
    """(mean, variance) at each level of the chain of a Gaussian's exact denoiser, from those at the start."""
    one, zero = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    m, v = start
    for t, s in pairwise(walk):
        if s > t:
            m, v = noise.diffuse(one * m, t, s, zero), noise.diffuse(one, t, s, zero) ** 2 * v
            v = v + noise.diffuse(zero, t, s, one) ** 2
        else:
            root = noise.alpha_bar[t].sqrt()
            gain = root * variance / (root**2 * variance + 1 - root**2)
            slope = noise.posterior(one, one * gain, t, s)[0]
            m = noise.posterior(one * m, one * (mean + gain * (m - root * mean)), t, s)[0]
            v = slope**2 * v + (noise.posterior(one, one, t, s)[1].exp() if s else 0)
        yield float(m), float(v)


@given(noise_schedules(200), st.data())
def test_where_the_clean_image_is_certain_every_walk_keeps_the_forward_process(noise, data):
    """From q(x_T | x_0), along any walk, the state at level s is distributed as q(x_s | x_0)."""
    walk, abar = data.draw(uneven(noise.steps)), noise.alpha_bar.tolist()
    start = math.sqrt(abar[-1]) * 0.7, 1 - abar[-1]
    for s, (mean, variance) in zip(walk[1:], moments(noise, walk, 0.7, 0.0, start), strict=True):
        assert mean == pytest.approx(math.sqrt(abar[s]) * 0.7, abs=1e-9)
        assert variance == pytest.approx(1 - abar[s], rel=1e-9, abs=1e-12)


@WALKS
@pytest.mark.parametrize("sd", [0.0, 0.5])
def test_states_are_distributed_as_the_closed_form_says(walk, sd):
    region = scene(mean=0.6, sd=sd, size=(40, 50))
    table = LINEAR.respace(30)
    expected = moments(table, walk, 0.6, sd**2, (0.0, 1.0))
    for step, (mean, variance) in zip(sampled(walk, [region], samples=5), expected, strict=True):
        state = step.states[0]  # 30 000 values
        assert state.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / 30_000) + 1e-6)
        assert state.var().item() == pytest.approx(variance, rel=4 * math.sqrt(2 / 30_000), abs=1e-9)
        if sd == 0:
            assert variance == pytest.approx(1 - table.alpha_bar[step.s].item(), rel=1e-4, abs=1e-12)


# ---- several regions -----------------------------------------------------------------------------------------------


@st.composite
def objects(draw):
    """An object on a grid of its own, in any box of a canvas of 8 x 10."""
    width, height = draw(st.integers(1, 10)), draw(st.integers(1, 8))
    box = draw(st.integers(0, 10 - width)), draw(st.integers(0, 8 - height)), width, height
    grid = draw(st.sampled_from([(height, width), (4, 4), (7, 5)]))
    return GaussianDenoiser(Spec(grid, 3, 1), 0.1, 0.5), box, draw(st.none() | st.sampled_from([0.0, 0.5, 1.0]))


@st.composite
def scenes(draw):
    """(regions above the background, settings of the composer), along walks that leave levels out."""
    above = [
        BoxRegion(denoiser, box, f"object {number}", 1 + number, listen_from)
        for number, (denoiser, box, listen_from) in enumerate(draw(st.lists(objects(), max_size=3)))
    ]
    walk = draw(st.integers(2, 40).flatmap(uneven))
    merge_from = draw(st.sampled_from([0.0, 0.5, 0.9]))
    return above, {"steps": walk[0], "timesteps": lambda _: walk, "merge_from": merge_from}


@given(scenes())
@settings(max_examples=30)
def test_a_region_that_listens_and_is_not_resized_ends_as_its_view_of_the_canvas(drawn):
    above, options = drawn
    composer = Composer([scene(), *above], **options)
    *_, last = composer.steps(2)
    for region, state in zip(composer.regions, last.states, strict=True):
        if region.listen_from != 1 and region.place.size == region.denoiser.spec.size:
            torch.testing.assert_close(
                state[:, :3], region.view(region.place.crop(last.merged.canvas)), rtol=0, atol=1e-5
            )
    torch.testing.assert_close(last.merged.weights.sum(0), torch.ones(2, 1, 8, 10))


@given(scenes())
@settings(max_examples=20)
def test_a_sample_does_not_depend_on_its_batch(drawn):
    above, options = drawn
    composer = Composer([scene(), *above], **options)
    together, alone = composer.compose([3, 1, 4], 9), composer.compose([1], 9)
    torch.testing.assert_close(together.image[1], alone.image[0], rtol=0, atol=1e-5)
    assert torch.equal(together.index[1], alone.index[0])


@given(scenes(), st.sampled_from(["clean", "noisy"]), st.sampled_from(["keep-variance", "literal"]))
@settings(max_examples=20)
def test_a_photograph_keeps_every_pixel_that_no_object_owns(drawn, others, seams):
    above, options = drawn
    photo = torch.linspace(-1, 1, 240).view(3, 8, 10)
    composition = Composer([BoxRegion(StillImage(photo)), *above], **options, exchange=Exchange(others, seams)).compose(
        2
    )
    for image, own in zip(composition.image, composition.regions[0].visible, strict=True):
        assert torch.equal(image[own.expand_as(photo)], photo[own.expand_as(photo)])


@WALKS
def test_regions_are_independent_until_a_step_leaves_a_level_of_the_window(walk):
    """Merging from 70 % of 30 levels on: from level 9. A long step across that border is taken alone."""
    window = max(9, walk[-2])
    regions = [scene(), thing(disc())]
    begun = False
    alone = [strided(region, walk) for region in regions]
    for index, step in enumerate(sampled(walk, regions)):
        descending = step.s < step.t
        begun |= descending and step.t <= window
        assert (step.merged is not None) == (descending and (begun or step.s == 0))
        if not begun:
            assert all(torch.equal(state, states[index]) for state, states in zip(step.states, alone, strict=True))
    assert begun
    assert not any(torch.equal(state, states[-1]) for state, states in zip(step.states, alone, strict=True))


@WALKS
def test_all_zero_mattes_leave_the_backgrounds_plain_chain(walk):
    regions = [scene(), thing(-torch.ones(1, 6, 6))]
    assert all_equal([step.states[0] for step in sampled(walk, regions)], strided(regions[0], walk))


@WALKS
def test_without_merging_each_region_is_on_its_own(walk):
    regions = [scene(), thing(disc())]
    steps = sampled(walk, regions, merge_from=1.0)
    for i, region in enumerate(regions):
        assert all_equal([step.states[i] for step in steps], strided(region, walk))


@WALKS
def test_the_noise_of_merged_states_is_that_of_their_level(walk):
    """On data of zeros a state is nothing but noise: its variance must be 1 - alpha_bar, at seams as elsewhere."""
    object_ = ConstantDenoiser(torch.cat([torch.zeros(3, 8, 8), disc(8)]), mask_channels=1)
    regions = [
        BoxRegion(ConstantDenoiser(torch.zeros(3, 13, 13))),
        BoxRegion(object_, Box(1, 1, 11, 11), name="thing", z=1),  # resized, so that weights lie between 0 and 1
    ]
    table = LINEAR.respace(30).alpha_bar
    for step in sampled(walk, regions, samples=400):
        if step.merged is None or step.s == 0:
            continue
        for region, state, weights in zip(regions, step.states, step.merged.weights, strict=True):
            w = region.view(region.place.crop(weights))[0, 0].clamp(0, 1)
            for place in (w == 0, w == 1, (w > 0) & (w < 1)):
                if place.sum() >= 16:  # 19 200 values or more: a standard error of 1 % or less
                    variance = state[:, :3, place].var().item()
                    assert variance == pytest.approx(1 - table[step.s].item(), rel=0.04)


def test_a_step_down_costs_one_call_however_long():
    calls = []

    class Counted(GaussianDenoiser):
        def __call__(self, x_t, t):
            calls.append(t)
            return super().__call__(x_t, t)

    sampled(RESAMPLED, [BoxRegion(Counted(Spec((4, 4))))])
    levels = LINEAR.respace(30).levels
    assert calls == [levels[t] for t, s in pairwise(RESAMPLED) if s < t]
