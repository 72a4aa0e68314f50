"""Denoisers around others: what they forward, and how they run as one batch."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

from dmix_core import BoxRegion, Composer, Descent, Prediction, Spec, StillImage, TailResampling, Wrapper
from dmix_core.errors import CompositionError
from dmix_core.testing import GaussianDenoiser, check_denoiser, check_wrapper
from dmix_core.wrapper import family_of, joined


@dataclass(frozen=True, eq=False)
class Tinted(Wrapper):
    """Pictures with some grey in them; its settings are called as facts of a spec are."""

    grey: float = 0.3
    still: object = ()
    family_name: object = None

    def __call__(self, x_t, t):
        clean, spread = self.denoiser(x_t, t)
        return Prediction((1 - self.grey) * clean + self.grey / 2, spread)


class Network:
    """A denoiser of one of several shades, which a batch may hold in equal parts; `calls` is the network's."""

    spec, noise = Spec((6, 6), 3, 1), GaussianDenoiser(Spec((6, 6))).noise

    def __init__(self, calls, *shades):
        self.calls, self.shades = calls, shades

    @property
    def family(self):
        return id(self.calls)

    def joined(self, members):
        return Network(self.calls, *(shade for member in members for shade in member.shades))

    def __call__(self, x_t, t):
        self.calls.append(len(x_t))
        shades = torch.tensor(self.shades).repeat_interleave(len(x_t) // len(self.shades)).view(-1, 1, 1, 1)
        return Prediction((x_t / 4 + shades).clamp(-1, 1))


def composed(denoisers, samples=2):
    above = [BoxRegion(each, (6 * i, 0, 6, 6), f"{i}", 1) for i, each in enumerate(denoisers)]
    regions = [BoxRegion(StillImage(torch.zeros(3, 12, 24))), *above]
    return Composer(regions, steps=6, timesteps=TailResampling(2, 1), merge_from=0.5).compose(samples)


def test_a_wrappers_settings_are_not_taken_for_facts_of_its_spec():
    wrapped = Tinted(GaussianDenoiser(Spec((6, 6))), grey=0.3, still=True)
    assert (wrapped.spec.grey, wrapped.spec.still) == (False, False)
    assert wrapped.spec == wrapped.denoiser.spec


def test_a_wrapper_forwards_the_spec_but_is_not_still():
    photo = StillImage(torch.zeros(3, 6, 6))
    assert Tinted(photo).spec == photo.spec._replace(still=False)
    assert Tinted(photo).spec.grey


def test_it_is_a_wrapper_and_a_family():
    check_wrapper(Tinted)
    check_denoiser(Tinted(Network([], 0.1)), examples=5)
    check_denoiser(Tinted(Tinted(Network([], 0.1)), 0.1), examples=5)


def test_four_wrapped_regions_of_one_network_run_as_one_batch():
    calls = []
    shades = (0.1, -0.4, 0.7, 0.3)
    together = composed([Tinted(Network(calls, shade)) for shade in shades])
    assert calls == [8] * 8
    apart = composed([Tinted(Network([], shade)) for shade in shades])
    torch.testing.assert_close(together.image, apart.image, rtol=0, atol=1e-5)


def test_only_wrappers_of_equal_settings_around_one_family_are_alike():
    calls = []
    first = Tinted(Network(calls, 0.1), 0.2)
    assert family_of(first) == family_of(Tinted(Network(calls, 0.5), 0.2))
    assert family_of(first) != family_of(Tinted(Network(calls, 0.1), 0.3))
    assert family_of(first) != family_of(Tinted(Network([], 0.1), 0.2))
    assert family_of(first) != family_of(Tinted(Network(calls, 0.1), 0.2, family_name=[]))
    assert family_of(Tinted(GaussianDenoiser(Spec((6, 6))))) != family_of(Tinted(GaussianDenoiser(Spec((6, 6)))))


def test_a_wrapper_that_keeps_its_settings_elsewhere_is_alike_only_to_itself():
    class Hidden(Wrapper):
        def __init__(self, denoiser, amount):
            super().__init__(denoiser)
            object.__setattr__(self, "amount", amount)

    inside = Network([], 0.1)
    one, other = Hidden(inside, 1), Hidden(inside, 2)
    assert family_of(one) == family_of(one) != family_of(other)


def test_a_denoiser_without_a_family_is_joined_with_itself():
    plain = GaussianDenoiser(Spec((6, 6)))
    assert joined([plain, plain]) is plain


# ---- a state along the trajectory ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Superposition(Wrapper):
    """One of two denoisers, by the evidence that a sample's states have given for each so far.

    As in SuperDiff (Skreta et al. 2025), weights come from log-densities that are summed up along the trajectory; here
    each state adds the likelihood of its mean under either.
    """

    other: object = None

    def init(self, x_t):
        return torch.zeros(2, len(x_t))

    def step(self, x_t, t, state):
        predictions = [denoiser(x_t, t).clean for denoiser in (self.denoiser, self.other)]
        evidence = state + torch.stack([-((clean - x_t).mean((1, 2, 3)) ** 2) for clean in predictions])
        share = evidence.softmax(0).view(2, -1, 1, 1, 1)
        return Prediction(share[0] * predictions[0] + share[1] * predictions[1]), evidence

    def __call__(self, x_t, t):
        return self.step(x_t, t, self.init(x_t))[0]


def superposition():
    dark, bright = (GaussianDenoiser(Spec((6, 6)), mean, 0.2) for mean in (-0.6, 0.5))
    return Superposition(dark, bright)


def gathered(denoiser, samples, timesteps):
    """Every state of the denoiser in a composition, as it returned them."""
    states = []

    class Noting(Superposition):
        def step(self, x_t, t, state):
            prediction, state = super().step(x_t, t, state)
            states.append(state)
            return prediction, state

    region = BoxRegion(Noting(denoiser.denoiser, denoiser.other))
    image = Composer([region], steps=12, timesteps=timesteps).compose(samples, seed=3).image
    return image, states


def test_a_denoiser_gathers_evidence_over_steps_for_each_sample_alone():
    image, states = gathered(superposition(), [4, 7, 9], Descent())
    assert len(states) == 12
    assert all((later <= before).all() for before, later in pairwise(states))  # sums of losses
    assert len(states[-1][0].unique()) == 3
    alone, its_states = gathered(superposition(), [7], Descent())
    torch.testing.assert_close(alone[0], image[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(its_states[-1][:, 0], states[-1][:, 1])


def test_what_it_gathers_begins_anew_after_a_climb():
    _, states = gathered(superposition(), 1, TailResampling(4, 1))
    sums = [float(state.sum()) for state in states]
    assert sums[12] > sums[11]
    assert sums[11] < sums[10]


def test_stateful_denoisers_of_one_kind_run_as_one_batch():
    check_denoiser(superposition(), examples=5)
    shared = superposition()
    regions = [BoxRegion(shared, (0, 0, 6, 6), "a"), BoxRegion(shared, (6, 0, 6, 6), "b")]
    pair = Composer(regions, size=(6, 12), steps=12, timesteps=Descent(), merge_from=1.0)
    alone = Composer([BoxRegion(superposition(), name="b")], steps=12, timesteps=Descent(), merge_from=1.0)
    *_, last = pair.steps(2)
    *_, expected = alone.steps(2)
    torch.testing.assert_close(last.states[1], expected.states[0], rtol=0, atol=1e-5)


def test_a_wrapper_around_a_stateful_denoiser_is_refused():
    with pytest.raises(CompositionError, match=r"region 'a' calls Superposition, which carries a state.*outermost"):
        Composer([BoxRegion(Tinted(superposition()), name="a")], steps=12, timesteps=Descent())
