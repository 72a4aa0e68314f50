"""Denoisers of one family: regions of different denoisers that run as one batch."""

import pytest
import torch

from dmix_core import BoxRegion, Composer, NoiseSchedule, Prediction, Spec, TailResampling
from dmix_core.testing import GaussianDenoiser


class Shade:
    """A denoiser of one of several shades, which a batch may hold in equal parts; `calls` is the family's."""

    spec, noise = Spec((6, 6), 3, 1), NoiseSchedule.linear()

    def __init__(self, calls, *shades):
        self.calls, self.shades = calls, shades

    @property
    def family(self):
        return "shades", id(self.calls)

    def joined(self, members):
        return Shade(self.calls, *(shade for member in members for shade in member.shades))

    def __call__(self, x_t, t):
        self.calls.append((len(x_t), self.shades))
        shades = torch.tensor(self.shades).repeat_interleave(len(x_t) // len(self.shades)).view(-1, 1, 1, 1)
        return Prediction((x_t / 4 + shades).clamp(-1, 1), torch.sigmoid(x_t))


class Alone:
    """A denoiser of no family."""

    def __init__(self, inner):
        self.inner, self.spec, self.noise = inner, inner.spec, inner.noise

    def __call__(self, x_t, t):
        return self.inner(x_t, t)


def steps(denoisers):
    places = [(0, 0, 6, 6), (6, 6, 6, 6), (3, 3, 6, 6)]
    above = [BoxRegion(d, place, f"{i}", 1) for i, (d, place) in enumerate(zip(denoisers, places, strict=False))]
    regions = [BoxRegion(GaussianDenoiser(Spec((12, 12)))), *above]
    return list(Composer(regions, steps=8, timesteps=TailResampling(3, 1), merge_from=0.5).steps(2))


def test_a_family_is_called_once_with_the_regions_parts_in_their_order():
    calls = []
    steps([Shade(calls, 0.1), Shade(calls, -0.4), Shade(calls, 0.7)])
    assert calls == [(6, (0.1, -0.4, 0.7))] * 11


def test_being_called_together_changes_nothing():
    calls = []
    members = [Shade(calls, shade) for shade in (0.1, -0.4, 0.7)]
    for one, other in zip(steps(members), steps(map(Alone, members)), strict=True):
        for state, expected in zip(one.states, other.states, strict=True):
            torch.testing.assert_close(state, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("same", [True, False])
def test_other_families_and_one_denoiser_alone_are_not_joined(same):
    first, second = [], []
    member = Shade(first, 0.1)
    steps([member, member if same else Shade(second, 0.2)])
    assert first == [(4 if same else 2, (0.1,))] * 11
    assert second == ([] if same else [(2, (0.2,))] * 11)
