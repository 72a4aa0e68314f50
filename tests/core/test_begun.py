"""States that regions come to before they meet, and that composers take from each other."""

import pytest
import torch

from dmix_core import BoxRegion, Composer, Descent, Prediction, Spec, TailResampling
from dmix_core.errors import CompositionError
from dmix_core.testing import GaussianDenoiser

STEPS, JUMP, AGAIN = 20, 3, 2


class Counting(GaussianDenoiser):
    """Counts the samples that run through it."""

    calls = 0

    def __call__(self, x_t, t):
        self.calls += len(x_t)
        return super().__call__(x_t, t)


def models():
    mask = torch.full((1, 8, 8), -1.0)
    mask[:, 2:6, 2:6] = 1
    thing = Counting(Spec((8, 8), 3, 1), mean=torch.cat([torch.full((3, 8, 8), -0.5), mask]), sd=0.1)
    return Counting(Spec((24, 24), 3), mean=0.4, sd=0.2), thing


def composer(scene, thing, background: int, thing_number: int, **more) -> Composer:
    box = (3 * background, 4 * thing_number, 8, 8)
    regions = [BoxRegion(scene, name=f"scene-{background}"), BoxRegion(thing, box, f"thing-{thing_number}", 1)]
    return Composer(regions, steps=STEPS, **{"timesteps": TailResampling(JUMP, AGAIN), **more})


def last(steps):
    *_, step = steps
    return step


@pytest.mark.parametrize("merge_from", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("timesteps", [Descent(), TailResampling(JUMP, AGAIN)])
def test_what_goes_on_from_begun_states_has_the_same_bits(merge_from, timesteps):
    made = composer(*models(), 0, 1, merge_from=merge_from, timesteps=timesteps)
    whole, begun = last(made.steps(2, seed=5)), last(made.steps(2, seed=5, begun=made.begin(2, seed=5)))
    assert torch.equal(made.finish(whole).image, made.finish(begun).image)


def test_states_combine_to_what_each_composite_is_alone_at_the_cost_of_their_sum():
    scene, thing = models()
    known = {}
    shared = {}
    for i in range(3):
        for j in range(4):
            made = composer(scene, thing, i, j)
            known = made.begin([0], seed=1, known=known)
            shared[i, j] = made.finish(last(made.steps([0], seed=1, begun=known))).image
    window = STEPS // 10
    calls = scene.calls + thing.calls
    assert calls == (3 + 4) * (STEPS - window) + 3 * 4 * 2 * (window + JUMP * AGAIN)
    for (i, j), image in shared.items():
        assert torch.equal(composer(scene, thing, i, j).compose([0], seed=1).image, image)
    assert scene.calls + thing.calls - calls == 3 * 4 * 2 * (STEPS + JUMP * AGAIN)


def test_a_denoiser_with_a_state_cannot_be_shared():
    class Remembering(GaussianDenoiser):
        def init(self, x_t):
            return 0

        def step(self, x_t, t, state):
            return Prediction(self(x_t, t).clean), state + 1

    made = Composer([BoxRegion(Remembering(Spec((8, 8), 3)))], steps=4, timesteps=Descent())
    with pytest.raises(CompositionError, match="carries a state"):
        made.begin()
