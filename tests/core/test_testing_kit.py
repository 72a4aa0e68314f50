"""The conformance kit: good parts pass, and each broken promise is named with an input that breaks it."""

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import (
    Descent,
    HardMask,
    Layer,
    Merged,
    NoiseSchedule,
    Prediction,
    Spec,
    StillImage,
    TailResampling,
)
from dmix_core.errors import ScheduleError
from dmix_core.mattes import blend, stack
from dmix_core.testing import (
    ConstantDenoiser,
    GaussianDenoiser,
    boxes,
    check_denoiser,
    check_merge_rule,
    check_timestep_schedule,
    layers,
    noise_schedules,
    scenes,
    walks,
)
from dmix_core.timesteps import check_walk

# ---- merge rules ----------------------------------------------------------------------------------------------


def honest(layers, progress=0):
    return blend(layers, stack([layer.matte for layer in layers]))


def average(layers, progress):
    covers = torch.stack([(layer.matte > 0).to(layer.matte.dtype) for layer in layers])
    return blend(layers, covers / covers.sum(0))


@pytest.mark.parametrize("rule", [HardMask(), HardMask(0.01), honest, average])
def test_good_merge_rules_pass(rule):
    check_merge_rule(rule, examples=30)


def too_heavy(layers, progress):
    merged = honest(layers)
    return Merged(merged.canvas, merged.weights * 1.01)


def negative(layers, progress):
    merged = honest(layers)
    push = torch.ones_like(merged.weights) * 0.5
    push[1:] = -0.5 / max(len(layers) - 1, 1)
    return Merged(merged.canvas, merged.weights + push) if len(layers) > 1 else merged


def leaks(layers, progress):
    return blend(layers, torch.full_like(torch.stack([layer.matte for layer in layers]), 1 / len(layers)))


def brighter(layers, progress):
    merged = honest(layers)
    return Merged(merged.canvas + 0.01, merged.weights)


def scribbles(layers, progress):
    layers[0].image.mul_(0.5)
    return honest(layers)


def mixes_samples(layers, progress):
    return honest([Layer(i, m.mean(0, keepdim=True).expand_as(m)) for i, m in layers])


def shifts_dtype(layers, progress):
    merged = honest(layers)
    return Merged(merged.canvas.float(), merged.weights)


def one_weight(layers, progress):
    merged = honest(layers)
    return Merged(merged.canvas, merged.weights[:, :, 0])


def gives_nan(layers, progress):
    merged = honest(layers)
    return Merged(merged.canvas / 0 * 0, merged.weights)


def dices(layers, progress):
    return blend(layers, stack([layer.matte * random.random() for layer in layers]))


def draws_torch(layers, progress):
    torch.rand(1)
    return honest(layers)


def draws_numpy(layers, progress):
    np.random.random()
    return honest(layers)


@dataclass(eq=False)
class RemembersCalls:
    calls: int = 0

    def __call__(self, layers, progress):
        self.calls += 1
        return honest([Layer(image, matte / self.calls) for image, matte in layers])


BROKEN_RULES = {
    too_heavy: r"sum to one at every pixel \(off by 0.01",
    negative: "weights are 0 or more",
    leaks: r"zero outside of their region \(region 1 has",
    brighter: r"within the range of its layers \(beyond by 0.01",
    scribbles: "input is left as it was",
    mixes_samples: "alone and in its batch",
    shifts_dtype: r"canvas keep the layers' dtype \(torch.float32",
    one_weight: "weights .* are shaped",
    gives_nan: "canvas are finite",
    dices: r"global random generators .*changed: random",
    draws_torch: r"changed: torch",
    draws_numpy: r"changed: numpy",
    RemembersCalls(): "same layers give the same result",
}


@pytest.mark.parametrize("rule", BROKEN_RULES, ids=lambda rule: getattr(rule, "__name__", type(rule).__name__))
def test_a_broken_merge_rule_is_told_which_promise_and_which_input(rule):
    with pytest.raises(AssertionError, match=rf"Broken promise: .*{BROKEN_RULES[rule]}") as caught:
        check_merge_rule(rule)
    assert "Input: Scene(size=(" in str(caught.value)
    assert "progress=" in str(caught.value)


# ---- timestep schedules ---------------------------------------------------------------------------------------


def needs_ten(steps):
    if steps < 10:
        raise ScheduleError("ten steps at least")
    return range(steps, -1, -1)


@pytest.mark.parametrize("schedule", [Descent(), TailResampling(), TailResampling(1, 0), needs_ten])
def test_good_timestep_schedules_pass(schedule):
    check_timestep_schedule(schedule, examples=30)


def refuses_all(steps):
    raise ScheduleError("not today")


@pytest.mark.parametrize(
    ("schedule", "promise"),
    [
        (lambda steps: [*range(steps, 0, -1)], r"ends at 0.*Input: steps=\d+"),
        (lambda steps: range(steps - 1, -1, -1), "starts at"),
        (lambda steps: [*range(steps, -1, -2), 0], "moves by one level"),
        (lambda steps: [*range(steps, -1, -1), -1, 0], "within"),
        (lambda steps: [float(t) for t in range(steps, -1, -1)], "levels are whole numbers"),
        (lambda steps: iter(range(steps, -1, -1)), "a walk is a sequence .*range_iterator"),
        (lambda steps: TailResampling(1, random.randrange(9))(steps), "changed: random"),
        (refuses_all, r"250 and 1000 steps can be walked \(not today\)"),
    ],
)
def test_a_broken_timestep_schedule_is_told_why(schedule, promise):
    with pytest.raises(AssertionError, match=f"Broken promise: .*{promise}"):
        check_timestep_schedule(schedule)


# ---- denoisers ------------------------------------------------------------------------------------------------

SPEC = Spec((6, 5), 3, 1)


@pytest.mark.parametrize(
    "denoiser",
    [
        GaussianDenoiser(SPEC, 0.2, 0.5),
        GaussianDenoiser(SPEC, torch.rand(4, 1, 1), 0.0, NoiseSchedule.cosine(40)),
        ConstantDenoiser(torch.zeros(4, 6, 5), mask_channels=1),
        StillImage(torch.zeros(1, 4, 4)),
    ],
    ids=lambda denoiser: type(denoiser).__name__,
)
def test_good_denoisers_pass(denoiser):
    check_denoiser(denoiser)


@dataclass(eq=False)
class Broken:
    """A denoiser whose answer is made by `say(x_t, t)`."""

    say: object
    spec: Spec = SPEC
    noise: NoiseSchedule = field(default_factory=NoiseSchedule.linear)

    def __call__(self, x_t, t):
        return self.say(x_t, t)


def with_grad(x_t, t):
    return Prediction(x_t * torch.ones(1, requires_grad=True))


def in_place(x_t, t):
    return Prediction(x_t.mul_(0.5))


def last_is_infinite(x_t, t):
    return Prediction(x_t / (1000 - t))


@pytest.mark.parametrize(
    ("denoiser", "promise"),
    [
        (Broken(lambda x, t: Prediction(x[:, :3])), r"clean \(2, 3, 6, 5\) is shaped \(2, 4, 6, 5\).*t=1000"),
        (Broken(lambda x, t: Prediction(x * torch.nan)), "clean is finite"),
        (Broken(last_is_infinite), "clean is finite.*t=1000"),
        (Broken(lambda x, t: Prediction(x.round().int())), "clean is floating"),
        (Broken(with_grad), "no gradient"),
        (Broken(in_place), "input is left as it was"),
        (Broken(lambda x, t: Prediction(x + torch.randn(1))), "changed: torch"),
        (Broken(lambda x, t: Prediction(x - x.mean())), "alone and in its batch"),
        (Broken(lambda x, t: Prediction(x, x * 0 + torch.nan)), "spread is finite"),
        (Broken(lambda x, t: Prediction(x, x[:, :, :3, :3])), "spread .* broadcasts"),
        (Broken(lambda x, t: Prediction(x), spec=(6, 5)), "spec is a Spec"),
        (Broken(lambda x, t: Prediction(x), spec=Spec((6, 5), 3, 2)), "0 or 1 mask channels"),
        (Broken(lambda x, t: Prediction(x), spec=Spec((0, 5))), "positive"),
        (Broken(lambda x, t: Prediction(x), noise=torch.ones(9)), "noise is a NoiseSchedule"),
    ],
)
def test_a_broken_denoiser_is_told_why(denoiser, promise):
    with pytest.raises(AssertionError, match=f"Broken promise: .*{promise}"):
        check_denoiser(denoiser)


def test_an_unsteady_denoiser_is_told_so():
    calls = iter(range(10_000))
    with pytest.raises(AssertionError, match="the same input, the same bits"):
        check_denoiser(Broken(lambda x, t: Prediction(x + next(calls))))


# ---- closed forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [1, 300, 1000])
def test_the_gaussian_denoiser_is_the_best_linear_guess(t):
    """Least squares on drawn pairs (x_t, x_0) finds the same line."""
    denoiser = GaussianDenoiser(Spec((1, 1), 1), 0.3, 0.5)
    generator = torch.Generator().manual_seed(t)
    clean, noise = torch.randn(2, 400_000, 1, 1, 1, generator=generator, dtype=torch.float64)
    clean = 0.3 + 0.5 * clean
    x_t = denoiser.noise.diffuse(clean, 0, t, noise)
    pairs = torch.cat([x_t.flatten()[None], clean.flatten()[None]])
    covariance = torch.cov(pairs)
    slope = covariance[0, 1] / covariance[0, 0]
    fitted = clean.mean() + slope * (x_t - x_t.mean())
    assert torch.allclose(denoiser(x_t, t).clean, fitted, atol=0.01)


def test_certainty_about_the_mask_alone():
    disk = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
    mean = torch.stack([torch.zeros(2, 2), disk])
    sd = torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
    clean = GaussianDenoiser(Spec((2, 2), 1, 1), mean, sd)(torch.randn(3, 2, 2, 2), 500).clean
    assert torch.equal(clean[:, 1], disk.expand(3, 2, 2))
    assert clean[:, 0].std() > 0


def test_the_constant_denoiser_tells_image_from_mask():
    denoiser = ConstantDenoiser(torch.zeros(4, 6, 5), mask_channels=1)
    assert denoiser.spec == Spec((6, 5), 3, 1)


# ---- strategies -----------------------------------------------------------------------------------------------


@given(st.data())
def test_boxes_lie_inside(data):
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    data.draw(boxes(size)).check_inside(size, "the test")


@given(scenes())
@settings(max_examples=20)
def test_a_scene_makes_the_same_layers_at_every_call(scene):
    first, second = scene.layers(), scene.layers()
    assert all(torch.equal(a, b) for one, two in zip(first, second) for a, b in zip(one, two))
    outside = ~scene.supports()
    assert all((layer.matte * away == 0).all() for layer, away in zip(first, outside))


@given(layers())
@settings(max_examples=20)
def test_layers_are_images_and_mattes(layers):
    for image, matte in layers:
        assert -1 <= image.min() <= image.max() <= 1
        assert 0 <= matte.min() <= matte.max() <= 1


@given(walks(steps=7))
def test_walks_are_walks(walk):
    assert check_walk(walk, 7) == walk


@given(noise_schedules(60))
def test_noise_schedules_fall(schedule):
    assert 1 <= schedule.steps <= 60
