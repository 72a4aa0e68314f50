"""Windows over a still image give the pixels of the whole canvas, bit by bit, and cost what they cover."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import (
    Box,
    BoxRegion,
    Composer,
    Exchange,
    HardMask,
    NoiseSchedule,
    Prediction,
    Spec,
    StillImage,
    TailResampling,
)
from dmix_core.testing import ConstantDenoiser, boxes
from dmix_core.windows import Window, windows
from dmix_multidiffusion import MultiDiffusion
from dmix_poisson import Poisson
from dmix_soft_mask import SoftMask

SIZE = (20, 26)
SHORT = {"steps": 8, "timesteps": TailResampling(3, 1), "merge_from": 0.3}
RULES = [HardMask(), SoftMask(), SoftMask(2), MultiDiffusion(), Poisson(), Poisson(0.5, 0)]


class Convolution:
    """A network of sorts, whose mask is as random as its colours; its values leave [-1, 1]."""

    spec, noise = Spec((5, 6), 3, 1), NoiseSchedule.linear()
    kernel = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(0)) / 3

    def __call__(self, x_t, t):
        return Prediction(1.2 * torch.tanh(F.conv2d(x_t, self.kernel, padding=1)))


def whole(rule):
    """The same rule, of which is not known how far it looks."""
    return lambda layers, progress: rule(layers, progress)


@st.composite
def scenes(draw):
    photo = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))) * 2 - 1
    places = draw(st.lists(boxes(SIZE), min_size=1, max_size=6))
    above = [
        BoxRegion(Convolution(), place, f"{i}", draw(st.integers(1, 2)), draw(st.sampled_from([None, 0.6])))
        for i, place in enumerate(places)
    ]
    return [BoxRegion(StillImage(photo)), *above]


@pytest.mark.parametrize("rule", RULES, ids=repr)
@given(regions=scenes(), seed=st.integers(0, 99), others=st.sampled_from(["clean", "noisy"]))
@settings(max_examples=15, deadline=None)
def test_windows_give_the_bits_of_the_whole_canvas(rule, regions, seed, others):
    settings = {**SHORT, "exchange": Exchange(others)}
    parts, all_of_it = Composer(regions, merge=rule, **settings), Composer(regions, merge=whole(rule), **settings)
    for step, expected in zip(parts.steps(2, seed), all_of_it.steps(2, seed), strict=True):
        assert all(map(torch.equal, step.states, expected.states))
        assert (step.merged is None) == (expected.merged is None)
        if step.merged:
            assert torch.equal(step.merged.canvas, expected.merged.canvas)
            assert torch.equal(step.merged.weights, expected.merged.weights)
            assert all(torch.equal(*pair) for pair in zip(step.layers[1], expected.layers[1], strict=True))
    ours, theirs = parts.finish(step), all_of_it.finish(expected)
    assert torch.equal(ours.image, theirs.image)
    assert torch.equal(ours.index, theirs.index)
    for one, other in zip(ours.regions, theirs.regions, strict=True):
        assert (one.name, one.boxes) == (other.name, other.boxes)
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.visible, other.visible)
        assert torch.equal(one.amodal, other.amodal)


def placed(*places, bottom=None):
    spec = StillImage(torch.zeros(3, 40, 50)) if bottom is None else bottom
    return [BoxRegion(spec), *(BoxRegion(Convolution(), place, f"{i}", 1) for i, place in enumerate(places))]


def test_regions_that_overlap_share_a_window_and_others_do_not():
    regions = placed((0, 0, 8, 8), (30, 30, 5, 5), (6, 6, 8, 8), (8, 0, 4, 4))
    assert windows(regions, (40, 50), HardMask()) == [
        Window(Box(30, 30, 5, 5), (0, 2)),
        Window(Box(0, 0, 14, 14), (0, 1, 3)),
        Window(Box(8, 0, 4, 4), (0, 4)),
    ]


def test_a_window_is_larger_by_what_a_rule_looks_at():
    regions = placed((0, 0, 8, 8), (10, 0, 8, 8), (30, 10, 4, 4))
    assert windows(regions, (40, 50), SoftMask(2)) == [
        Window(Box(0, 0, 22, 12), (0, 1, 2)),
        Window(Box(26, 6, 12, 12), (0, 3)),
    ]


def test_a_bottom_that_moves_and_a_rule_that_does_not_say_how_far_it_looks_need_the_whole_canvas():
    everything = [Window(Box(0, 0, 50, 40), (0, 1))]
    assert windows(placed((0, 0, 8, 8)), (40, 50), whole(HardMask())) == everything
    moving = placed((0, 0, 8, 8), bottom=ConstantDenoiser(torch.zeros(3, 40, 50)))
    assert windows(moving, (40, 50), HardMask()) == everything


def test_layers_are_no_larger_than_their_windows():
    seen = set()

    class Noting(HardMask):
        def __call__(self, layers, progress):
            seen.update(tuple(layer.image.shape[-2:]) for layer in layers)
            return super().__call__(layers, progress)

    composition = Composer(placed((0, 0, 8, 8), (20, 20, 6, 5)), merge=Noting(), **SHORT).compose(3)
    assert seen == {(8, 8), (5, 6)}
    assert composition.regions[1].painted.shape == (3, 3, 8, 8)
    assert composition.image.shape == (3, 3, 40, 50)


def test_a_photograph_is_kept_once_for_all_samples():
    photo = torch.rand(3, 40, 50)
    composer = Composer(placed((0, 0, 8, 8), bottom=StillImage(photo)), **SHORT)
    first, second = composer.compose(2, seed=1), composer.compose(3, seed=2)
    both = type(first).joined([first, second])
    assert both.below.data_ptr() == photo.data_ptr()
    assert torch.equal(both.image, torch.cat([first.image, second.image]))
    assert torch.equal(both.index, torch.cat([first.index, second.index]))
    for i, region in enumerate(both.regions):
        assert torch.equal(region.visible, torch.cat([first.regions[i].visible, second.regions[i].visible]))
        assert len(region.boxes) == 5
