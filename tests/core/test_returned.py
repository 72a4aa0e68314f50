"""What a plugin returns wrongly is refused in words that name it, before anything is done with it."""

import pytest
import torch

from dmix_core import Ancestral, BoxRegion, Composer, HardMask, Prediction, Spec
from dmix_core.errors import CompositionError, DenoiserError, ScheduleError
from dmix_core.testing import GaussianDenoiser

SPEC = Spec((4, 4), 3)
WRONG = [None, 7, torch.zeros(1), "text", (1, 2), {}]


class Returning(GaussianDenoiser):
    """A denoiser that returns what it is given."""

    def __init__(self, returned):
        super().__init__(SPEC)
        self.returned = returned

    def __call__(self, x_t, t):
        return self.returned


def compose(denoiser=None, **parts):
    region = BoxRegion(denoiser or GaussianDenoiser(SPEC))
    return Composer([region], steps=20, **parts).compose()


@pytest.mark.parametrize("returned", WRONG)
def test_a_denoiser(returned):
    with pytest.raises(DenoiserError, match=r"The denoiser 'Returning' of .* returned .*; expected a Prediction"):
        compose(Returning(returned))


def test_the_spread_of_a_denoiser():
    with pytest.raises(DenoiserError, match="type str; expected a tensor or None as `spread`"):
        compose(Returning(Prediction(torch.zeros(1, 3, 4, 4), "half")))


@pytest.mark.parametrize("returned", [each for each in WRONG if not isinstance(each, torch.Tensor)])
def test_a_stepper(returned):
    class Stepping(Ancestral):
        def step(self, *_):
            return returned

    with pytest.raises(CompositionError, match=r"The stepper '.*Stepping' of .* expected a tuple of the next state"):
        compose(stepper=Stepping())


@pytest.mark.parametrize("returned", WRONG)
def test_a_merge_rule(returned):
    class Rule(HardMask):
        def __call__(self, layers, progress):
            return returned

    with pytest.raises(CompositionError, match=r"The merge rule '.*Rule' of .* returned .*; expected a Merged"):
        compose(merge=Rule())


@pytest.mark.parametrize("returned", [None, 7, "text", [2.5, 0], {}])
def test_a_timestep_schedule(returned):
    with pytest.raises(ScheduleError, match=r"The timestep schedule .* returned .*; expected a sequence of whole"):
        compose(timesteps=lambda steps: returned)
