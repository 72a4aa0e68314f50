"""Where the paper can be read in two ways: one test per row of the design's table, with what each reading gives.

Noise is measured on data of zeros, whose states are nothing but noise: at level s its variance should be 1 - alpha_bar.
"""

import math

import pytest
import torch

from dmix_core import Box, BoxRegion, Composer, Descent, Exchange, NoiseSchedule, Prediction, Spec, TailResampling
from dmix_core.mattes import blend, stack
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser

LINEAR = NoiseSchedule.linear()


class SoftMask:
    """The predicted mask as it is."""

    def __call__(self, layers, progress):
        return blend(layers, stack([layer.matte for layer in layers]))


def flat(side, value=0.0, mask=None):
    """A denoiser of one colour, with a mask of one value (0..1) if one is given."""
    image = torch.full((3, side, side), value)
    if mask is None:
        return ConstantDenoiser(image)
    return ConstantDenoiser(torch.cat([image, torch.full((1, side, side), 2 * mask - 1)]), mask_channels=1)


def two(below, above, box=None):
    return [BoxRegion(below), BoxRegion(above, box, name="object", z=1)]


def abar(steps):
    return LINEAR.respace(steps).alpha_bar.tolist()


@pytest.fixture(scope="module")
def silent_object():
    """For each reading of eq. 9, by level t, the next state of an object that owns nothing: the others' part alone."""

    def states(others):
        composer = Composer(two(flat(32, 0.5), flat(32, mask=0.0)), timesteps=Descent(), exchange=Exchange(others))
        return {step.t: step.states[1][:, :3] for step in composer.steps(8) if step.t in (25, 10, 2)}

    return {others: states(others) for others in ("clean", "noisy")}


def test_which_tensor_eq_9_calls_x(silent_object):
    """The clean prediction keeps the variance; x_t read literally brings its own noise along: about twice, and more.

    From x_t at level t and fresh noise of level s follows (1 - abar_s) + abar_s (1 - abar_t).
    """
    table = abar(250)
    literal = {t: 1 + table[t - 1] * (1 - table[t]) / (1 - table[t - 1]) for t in (25, 10, 2)}
    assert [round(ratio, 1) for ratio in literal.values()] == [2.0, 2.2, 8.0]
    for others, expected in {"clean": dict.fromkeys(literal, 1.0), "noisy": literal}.items():
        # variances of 24 576 values: a standard error of 0.9 %
        ratios = {t: state.var().item() / (1 - table[t - 1]) for t, state in silent_object[others].items()}
        assert ratios == pytest.approx(expected, rel=0.03)


def test_which_level_eq_9_noises_to(silent_object):
    """alpha_bar of s, where the merged state is; that of t would be 8 % too much noise at first and 7 times at last."""
    table = abar(250)
    for t, state in silent_object["clean"].items():
        assert state.var().item() == pytest.approx(1 - table[t - 1], rel=0.03)
        assert state.mean().item() == pytest.approx(math.sqrt(table[t - 1]) * 0.5, abs=0.008)
        assert 1 - table[t] > 1.07 * (1 - table[t - 1])


@pytest.mark.parametrize("w", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("seams", ["keep-variance", "literal"])
def test_noise_at_soft_seams(seams, w):
    """Keeping the variance gives 1 - abar everywhere; eq. 11 to the letter averages two noises, again and again.

    With gain c on x_t and variance b, one literal step makes of v: w^2 (c^2 v + b) + (1 - w)^2 (1 - abar).
    """
    table = LINEAR.respace(20)
    a = table.alpha_bar.tolist()
    expected = 1.0
    composer = Composer(
        two(flat(32), flat(32, mask=w)),
        steps=20,
        timesteps=Descent(),
        merge=SoftMask(),
        merge_from=0.5,
        exchange=Exchange(seams=seams),
    )
    for step in composer.steps(8):
        t, s = step.t, step.s
        if s == 0:
            break
        gain = math.sqrt(a[t] / a[s]) * (1 - a[s]) / (1 - a[t])
        expected = gain**2 * expected + (1 - a[t] / a[s]) * (1 - a[s]) / (1 - a[t])
        if t <= 10 and seams == "literal":
            expected = w**2 * expected + (1 - w) ** 2 * (1 - a[s])
        assert step.states[1][:, :3].std().item() == pytest.approx(math.sqrt(expected), rel=0.02)
        right = math.sqrt(1 - a[s])
        if t <= 10:
            assert (math.sqrt(expected) < 0.9 * right) == (seams == "literal")


def test_for_hard_masks_both_ways_at_seams_are_one():
    mask = torch.where(torch.arange(8) < 4, 1.0, -1.0).expand(1, 8, 8)
    above = ConstantDenoiser(torch.cat([torch.zeros(3, 8, 8), mask]), mask_channels=1)
    below = GaussianDenoiser(Spec((8, 8)))
    one, other = (
        Composer(two(below, above), steps=20, timesteps=TailResampling(3, 1), exchange=Exchange(seams=seams)).steps(2)
        for seams in ("keep-variance", "literal")
    )
    for a, b in zip(one, other, strict=True):
        assert all(map(torch.equal, a.states, b.states))


def dreamer(side=8):
    """An object whose colours and mask are random."""
    return GaussianDenoiser(Spec((side, side), 3, 1), 0.0, 1.0)


def test_which_tensor_gives_the_mask():
    """The mask channel of the clean prediction, (m + 1) / 2, from 0.5 on; not that of the noisy state."""
    regions = two(GaussianDenoiser(Spec((8, 8))), dreamer())
    previous, differed = None, False
    for step in Composer(regions, steps=20, timesteps=Descent(), merge_from=0.5).steps(4):
        if step.merged:
            predicted = (step.predictions[1].clean[:, 3:] + 1) / 2 >= 0.5
            assert torch.equal(step.merged.weights[1] == 1, predicted)
            assert torch.equal(step.merged.weights[0] == 0, predicted)
            differed |= not torch.equal(previous > 0, predicted)
        previous = step.states[1][:, 3:] - 0.1
    assert differed


def test_the_mask_channel_is_not_merged_and_climbs_with_the_rest():
    """It runs as it would alone, resampling included, while the colours beside it are merged."""
    settings = {"steps": 20, "timesteps": TailResampling(5, 2), "merge_from": 0.5}
    merged = Composer(two(flat(8), dreamer()), **settings).steps(2)
    alone = Composer([BoxRegion(dreamer(), name="object")], **settings).steps(2)
    for together, single in zip(merged, alone, strict=True):
        (_, ours), (theirs,) = together.states, single.states
        assert torch.equal(ours[:, 3:], theirs[:, 3:])
        assert torch.equal(ours[:, :3], theirs[:, :3]) == (together.t > 10)


def test_both_models_merge_from_one_time_on():
    """0.9 of 250 steps: the first merged step leaves level 25, for both models."""
    regions = two(GaussianDenoiser(Spec((8, 8))), dreamer())
    alone = [Composer([region], timesteps=Descent()).steps() for region in regions]
    first = {}
    for together, *single in zip(Composer(regions, timesteps=Descent()).steps(), *alone, strict=True):
        for i, step in enumerate(single):
            if not torch.equal(step.states[0], together.states[i]):
                first.setdefault(i, together.t)
    assert first == {0: 25, 1: 25}


def test_a_region_may_listen_from_a_time_of_its_own():
    """The object takes in the background from half of the denoising on, the background the object from 0.9 on."""
    walk = {"steps": 50, "timesteps": Descent()}
    below, above = two(GaussianDenoiser(Spec((8, 8))), dreamer())
    early = BoxRegion(dreamer(), name="object", z=1, listen_from=0.5)
    alone = [Composer([region], **walk).steps() for region in (below, above)]
    first = {}
    for together, *single in zip(Composer([below, early], **walk).steps(), *alone, strict=True):
        for i, step in enumerate(single):
            if not torch.equal(step.states[0], together.states[i]):
                first.setdefault(i, together.t)
    assert first == {0: 5, 1: 25}


def test_a_jump_that_leaves_the_merge_window():
    """T = 50 merges from level 5 on; each later descent, from tau = 10, merges all along."""
    steps = Composer(two(flat(8), dreamer()), steps=50).steps()
    merged = [step.t for step in steps if step.merged]
    later = list(range(10, 0, -1))
    assert merged == [5, 4, 3, 2, 1, *later, *later]


def test_a_box_of_another_size_is_met_on_clean_predictions_and_noise_is_made_after():
    """Enlarged noise would be smooth, its neighbours alike; the background's below an object twice enlarged is not."""
    table = abar(20)
    regions = two(flat(48), flat(24, mask=1.0), Box(0, 0, 48, 48))
    for step in Composer(regions, steps=20, timesteps=Descent(), merge_from=0.5).steps(8):
        if step.s in (9, 4, 1):
            noise = step.states[0]
            assert noise.var().item() == pytest.approx(1 - table[step.s], rel=0.03)
            neighbours = torch.stack([noise[..., 1:].flatten(), noise[..., :-1].flatten()])
            assert abs(torch.corrcoef(neighbours)[0, 1]) < 0.02


def test_masks_are_resized_and_then_thresholded():
    """Half a pixel of mask, enlarged, has an edge of one pixel's sharpness."""

    class Edge:
        spec, noise = Spec((2, 2), 3, 1), LINEAR

        def __call__(self, x_t, t):
            mask = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]).expand(len(x_t), 1, 2, 2)
            return Prediction(torch.cat([x_t[:, :3] * 0, mask], dim=1))

    composition = Composer(two(flat(8), Edge(), Box(0, 0, 8, 8)), steps=20, timesteps=Descent()).compose()
    assert composition.index.unique().tolist() == [0, 1]
    assert composition.index[0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
