"""Guidance on a mixture of two Gaussians, where classes, their denoisers and their classifier are known exactly."""

import math
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import BoxRegion, Composer, Descent, NoiseSchedule, Prediction, Spec
from dmix_core.errors import DmixError
from dmix_core.hookspecs import hookimpl
from dmix_core.recipe import Recipe
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser, check_classifier, check_wrapper
from dmix_guidance import ClassifierFreeGuidance, ClassifierGuidance

SPEC = Spec((2, 2), 1)
LINEAR = NoiseSchedule.linear()
MEANS, SDS = torch.tensor([[-0.6, 0.5], [0.2, 0.4]], dtype=torch.float64)
PRIORS = 0.3, 0.7
CLASSES = [GaussianDenoiser(SPEC, mean, sd, LINEAR) for mean, sd in zip(MEANS, SDS, strict=True)]


class Posterior:
    """The exact classifier: log p(y | x_t), as the classes' densities at this level say it."""

    def __init__(self, label):
        self.label = label

    def __call__(self, x_t, t, noise):
        return log_posteriors(x_t, float(noise.alpha_bar[t]))[self.label]


def log_posteriors(x_t, a_t):
    """(2, B): log p(y | x_t) of both classes."""
    widths = [(a_t * float(sd) ** 2 + 1 - a_t) ** 0.5 for sd in SDS]
    densities = [
        math.log(prior) - (((x_t - a_t**0.5 * float(mean)) / width) ** 2 / 2 + math.log(width)).sum((1, 2, 3))
        for prior, mean, width in zip(PRIORS, MEANS, widths, strict=True)
    ]
    return torch.stack(densities).log_softmax(0)


class Mixture:
    """The exact denoiser of both classes together."""

    spec, noise = SPEC, LINEAR

    def __call__(self, x_t, t):
        posteriors = log_posteriors(x_t, float(self.noise.alpha_bar[t])).exp()
        parts = [p[:, None, None, None] * one(x_t, t).clean for p, one in zip(posteriors, CLASSES, strict=True)]
        return Prediction(sum(parts), torch.full_like(x_t, 0.25))


def towards(label, scale=1.0, clamp=False):
    return ClassifierGuidance(Mixture(), Posterior(label), scale, clamp)


def away(label, scale, clamp=False):
    return ClassifierFreeGuidance(CLASSES[label], Mixture(), scale, clamp)


@st.composite
def states(draw):
    """(x_t, t) as it comes up in a run: a class noised to level t, float64."""
    t, seed = draw(st.integers(1, 250)), draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2, 3, *SPEC.shape, dtype=torch.float64, generator=generator)
    label = draw(st.integers(0, 1))
    return LINEAR.diffuse(MEANS[label] + SDS[label] * z[0], 0, t, z[1]), t


labels = st.integers(0, 1)
scales = st.floats(-2, 10)
few = settings(deadline=None, max_examples=25)


@pytest.mark.parametrize(
    "wrap",
    [
        partial(ClassifierGuidance, classifier=Posterior(1), scale=3.0),
        partial(ClassifierFreeGuidance, unconditional=CLASSES[1], scale=3.0),
    ],
)
def test_they_are_wrappers(wrap):
    check_wrapper(wrap, Mixture())


def test_the_classifier_of_these_tests_is_one():
    check_classifier(Posterior(1), SPEC)


# ---- what guidance promises ----------------------------------------------------------------------------------------


@few
@given(states(), labels)
def test_with_scale_one_it_is_the_denoiser_of_the_class(state, label):
    assert torch.allclose(towards(label)(*state).clean, CLASSES[label](*state).clean, atol=1e-9)


def composed(denoiser):
    return Composer([BoxRegion(denoiser)], steps=25, timesteps=Descent()).compose(3, seed=1).image


@pytest.mark.parametrize("label", [0, 1])
def test_a_whole_run_paints_the_class(label):
    class Class(Mixture):
        def __call__(self, x_t, t):
            return Prediction(CLASSES[label](x_t, t).clean, torch.full_like(x_t, 0.25))

    assert torch.allclose(composed(towards(label)), composed(Class()), atol=1e-3)


def test_without_guidance_nothing_changes():
    plain = composed(Mixture())
    assert torch.equal(composed(towards(0, scale=0.0)), plain)
    assert torch.equal(composed(towards(0, scale=0.0, clamp=True)), plain)
    assert torch.equal(composed(away(0, scale=1.0, clamp=True)), composed(CLASSES[0]))


@few
@given(states(), labels)
def test_classifier_free_guidance_of_scale_zero_is_the_unconditional_denoiser(state, label):
    assert torch.equal(away(label, 0.0)(*state).clean, Mixture()(*state).clean)


@few
@given(states(), labels, scales)
def test_both_kinds_are_one_where_all_is_exact(state, label, scale):
    assert torch.allclose(towards(label, scale)(*state).clean, away(label, scale)(*state).clean, atol=1e-8)


class Member(GaussianDenoiser):
    """A class of the mixture that runs with others of its family as one batch."""

    family = "mixture"

    def joined(self, members):
        def together(x_t, t):
            parts = [one(part, t).clean for one, part in zip(members, x_t.chunk(len(members)), strict=True)]
            return Prediction(torch.cat(parts), torch.arange(len(x_t))[:, None, None, None])

        return together


def test_two_of_one_family_run_as_one_batch():
    x_t = torch.ones(3, *SPEC.shape, dtype=torch.float64)
    one, other = (Member(SPEC, mean, sd, LINEAR) for mean, sd in zip(MEANS, SDS, strict=True))
    clean, spread = ClassifierFreeGuidance(one, other, 3.0)(x_t, 500)
    assert torch.equal(clean, ClassifierFreeGuidance(*CLASSES, 3.0)(x_t, 500).clean)
    assert spread[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert torch.equal(ClassifierFreeGuidance(one, one, 3.0)(x_t, 500).clean, one(x_t, 500).clean)


# ---- the formulas of guided-diffusion and of Ho & Salimans ---------------------------------------------------------


def gradient(x_t, t, label):
    x_t = x_t.clone().requires_grad_()
    return torch.autograd.grad(log_posteriors(x_t, float(LINEAR.alpha_bar[t]))[label].sum(), x_t)[0]


def epsilon(clean, x_t, t):
    a_t = float(LINEAR.alpha_bar[t])
    return (x_t - a_t**0.5 * clean) / (1 - a_t) ** 0.5


@few
@given(states(), labels, scales)
def test_condition_score(state, label, scale):
    """epsilon - sqrt(1 - a) scale grad."""
    x_t, t = state
    a_t = float(LINEAR.alpha_bar[t])
    expected = epsilon(Mixture()(x_t, t).clean, x_t, t) - (1 - a_t) ** 0.5 * scale * gradient(x_t, t, label)
    assert torch.allclose(epsilon(towards(label, scale)(x_t, t).clean, x_t, t), expected, atol=1e-9)


@few
@given(states(), labels, scales, st.data())
def test_condition_mean_shifts_by_its_variance_ours_by_beta_over_root_alpha(state, label, scale, data):
    """mean + variance scale grad: the same direction, another length."""
    x_t, t = state
    s = data.draw(st.integers(0, t - 1))
    beta = float(1 - LINEAR.alpha_bar[t] / LINEAR.alpha_bar[s])
    plain, guided = (LINEAR.posterior(x_t, d(x_t, t).clean, t, s)[0] for d in (Mixture(), towards(label, scale)))
    shift = scale * gradient(x_t, t, label)
    assert torch.allclose(guided - plain, beta / (1 - beta) ** 0.5 * shift, atol=1e-9)


@few
@given(states(), labels, scales)
def test_classifier_free_in_epsilon(state, label, scale):
    """unconditional + scale (conditional - unconditional), of epsilon."""
    conditional, unconditional = (epsilon(d(*state).clean, *state) for d in (CLASSES[label], Mixture()))
    expected = unconditional + scale * (conditional - unconditional)
    assert torch.allclose(epsilon(away(label, scale)(*state).clean, *state), expected, atol=1e-9)


def sampled(denoiser, steps, shift=lambda x_t, t, variance: 0):
    """Mean and standard deviation of 20,000 ancestral chains over this many steps, with a shift of the mean."""
    noise = LINEAR.respace(steps)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 1, 1, 1, dtype=torch.float64, generator=generator)
    for t in range(steps, 0, -1):
        mean, log_variance = noise.posterior(x, denoiser(x, noise.levels[t]).clean, t)
        mean = mean + shift(x, noise.levels[t], log_variance.exp())
        x = mean + (t > 1) * (log_variance / 2).exp() * torch.randn(x.shape, dtype=x.dtype, generator=generator)
    return pytest.approx((x.mean().item(), x.std().item()), abs=2e-3)


def test_in_few_steps_condition_mean_misses_the_class():
    """The README's figures: class 0 has the mean -0.6; guided in 25 steps, with the variance beta-tilde."""
    ours, its_own = sampled(towards(0), 25), sampled(CLASSES[0], 25)
    condition_mean = sampled(Mixture(), 25, lambda x_t, t, variance: variance * gradient(x_t, t, 0))
    assert ours == its_own.expected
    assert ours == (-0.599, 0.136)
    assert condition_mean == (-0.371, 0.339)


# ---- settings and what can go wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize("guided", [towards, away])
def test_clamping_brings_the_prediction_back(guided):
    x_t = torch.zeros(1, *SPEC.shape)
    free, clamped = (guided(1, 9.0, clamp)(x_t, 300).clean for clamp in (False, True))
    assert free.max() > 1
    assert torch.equal(clamped, free.clamp(-1, 1))


def test_what_is_learned_of_the_variance_stays():
    x_t = torch.ones(1, *SPEC.shape)
    assert torch.equal(towards(0)(x_t, 5).spread, Mixture()(x_t, 5).spread)
    assert ClassifierFreeGuidance(Mixture(), CLASSES[0], 2.0)(x_t, 5).spread is not None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_switched_off_outside(mode):
    with mode():
        x_t = torch.ones(2, *SPEC.shape)
        clean = towards(0)(x_t, 5).clean
    assert not clean.requires_grad
    assert torch.equal(clean, towards(0)(x_t.clone(), 5).clean)


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (lambda x_t, t, noise: x_t.mean(), r"shape \(\) at level 5; expected \(2,\)"),
        (lambda x_t, t, noise: torch.zeros(2), r"shape \(2,\) and no gradient at level 5"),
        (lambda x_t, t, noise: (0 * x_t).sqrt().sum((1, 2, 3)), r"gradient is not finite at level 5"),
    ],
)
def test_a_classifier_that_breaks_its_promise(classifier, message):
    with pytest.raises(DmixError, match=message):
        ClassifierGuidance(Mixture(), classifier)(torch.ones(2, *SPEC.shape), 5)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (GaussianDenoiser(Spec((4, 4), 1)), r"size=\(2, 2\).*size=\(4, 4\).*expected the same"),
        (GaussianDenoiser(SPEC, noise=NoiseSchedule.linear(500)), "of 1000 and 500 levels; expected the same"),
    ],
)
def test_two_denoisers_that_do_not_fit_together(other, message):
    with pytest.raises(DmixError, match=message):
        ClassifierFreeGuidance(Mixture(), other)


# ---- by name -------------------------------------------------------------------------------------------------------


@pytest.fixture
def registry():
    """All that is installed, and this file's classes and classifier as a plugin."""
    denoisers = {
        name: lambda argument=None, *, device, dtype, d=d: d for name, d in zip(("cold", "warm"), CLASSES, strict=True)
    }
    classifiers = {"posterior": lambda argument=None, *, device="cpu": Posterior(int(argument))}
    plugin = {
        "dmix_denoisers": hookimpl(specname="dmix_denoisers")(lambda: denoisers),
        "dmix_classifiers": hookimpl(specname="dmix_classifiers")(lambda: classifiers),
    }
    registry = Registry.load()
    registry.register(SimpleNamespace(**plugin), "mixture")
    return registry


def recipe(*wrappers):
    region = {"name": "a", "model": "cold", "wrap": [{"use": use, "settings": settings} for use, settings in wrappers]}
    return Recipe.from_data({"regions": [region], "steps": 25, "timesteps": {"use": "descent"}})


def test_recipes_name_what_guides(registry):
    free = recipe(("classifier-free-guidance", {"unconditional": "warm", "scale": 2, "clamp": False}))
    (region,) = free.composer(registry).regions
    assert vars(region.denoiser) == vars(ClassifierFreeGuidance(CLASSES[0], CLASSES[1], 2.0, False))
    (region,) = recipe(("classifier-guidance", {"classifier": "posterior:1"})).composer(registry).regions
    assert region.denoiser.classifier.label == 1


def test_guidance_may_be_wrapped_in_guidance(registry):
    both = recipe(
        ("classifier-guidance", {"classifier": "posterior:0", "scale": 0}),
        ("classifier-free-guidance", {"unconditional": "warm", "scale": 1}),
    )
    assert torch.equal(both.composer(registry).compose().image, recipe().composer(registry).compose().image)


def test_the_readme_runs():
    """The plugin in it, and what is composed with it."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        exec(block, names)
    check_classifier(names["Dark"](), names["dark_tiles"].spec)
    step = next(names["composer"].steps())
    assert step.states[0].isfinite().all()
    assert names["dmix_classifiers"]()["dark"]("40").steepness == 40


# ---- one batch -----------------------------------------------------------------------------------------------------


class Classes:
    """A network of classes that a batch may hold in equal parts; `calls` is the network's."""

    spec, noise = Spec((4, 4), 3, 1), LINEAR

    def __init__(self, calls, *classes):
        self.calls, self.classes = calls, classes

    @property
    def family(self):
        return id(self.calls)

    def joined(self, members):
        return Classes(self.calls, *(each for member in members for each in member.classes))

    def __call__(self, x_t, t):
        self.calls.append(len(x_t))
        means = torch.tensor(self.classes).repeat_interleave(len(x_t) // len(self.classes)).view(-1, 1, 1, 1)
        return Prediction(x_t / 4 + means)


def four(denoisers):
    below = BoxRegion(GaussianDenoiser(Spec((8, 16))))
    above = [BoxRegion(each, (4 * i, 2, 4, 4), f"{i}", 1) for i, each in enumerate(denoisers)]
    return Composer([below, *above], steps=10, timesteps=Descent(), merge_from=0.5).compose(2, seed=1).image


def test_four_guided_regions_of_one_network_run_as_one_batch():
    calls = []
    anything = Classes(calls, 0.0)
    classes = (0.1, -0.4, 0.6, 0.1)
    together = four([ClassifierFreeGuidance(Classes(calls, mean), anything, 3.0) for mean in classes])
    assert calls == [2 * 4 * 2] * 10  # conditional and unconditional, four regions, two samples
    apart = four([ClassifierFreeGuidance(Classes([], mean), Classes([], 0.0), 3.0) for mean in classes])
    assert torch.allclose(together, apart, atol=1e-5)


def test_one_guided_denoiser_of_four_regions_runs_as_one_batch():
    calls = []
    shared = ClassifierFreeGuidance(Classes(calls, 0.3), Classes(calls, 0.0), 3.0)
    four([shared] * 4)
    assert calls == [2 * 4 * 2] * 10
