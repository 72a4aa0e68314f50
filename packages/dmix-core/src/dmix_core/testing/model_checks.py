"""Conformance checks of denoisers, of the wrappers around them and of classifiers of noisy images."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from ..checks import broadcasts
from ..noise import NoiseSchedule
from ..protocols import BatchedDenoiser, Classifier, Denoiser, Prediction, Spec, StatefulDenoiser
from .checking import Check, Conformance, Device, Input, Judged, Unanswered, Verdict
from .denoisers import GaussianDenoiser
from .promises import answered, apart, form, free, moving, purely, steady

LIMIT = 10.0
"""How far predictions go from 0 at most, unless another limit is given; they should lie in about [-1, 1]."""
SPEC = Spec((6, 5))
"""Of closed-form denoisers, and of what classifiers look at, where none is given."""


@Conformance
def check_denoiser(
    denoiser: Denoiser, *, examples: int = 10, device: Device = "cpu", tolerance: float = 1e-4, limit: float = LIMIT
) -> Check:
    """Check a denoiser at its first level, its last one and some between.

    Promises: spec and noise are what they should be; the clean prediction has the state's shape, dtype and device, is
    finite, without gradient and within the limit; the spread broadcasts to it, is finite and within the limit; it
    predicts the same under torch.inference_mode(); a still one predicts the same from every state; one that has a
    family predicts the same joined with it.

    Args:
        limit: how far from 0 predictions may go; math.inf for a network that does not clip its clean image.
    """

    def judge(x_t: Tensor, t: int) -> Iterator[Verdict]:
        yield from _description(denoiser)
        yield from _predictions(denoiser, x_t, t, tolerance, limit)

    spec, noise = denoiser.spec, denoiser.noise
    fits = isinstance(spec, Spec) and isinstance(noise, NoiseSchedule) and min(spec.shape) >= 1
    states = _States(spec if fits else SPEC, noise.steps if fits else 1, device)
    return states.check(judge, "denoiser(x_t, {t})", examples)


@Conformance
def check_wrapper(
    wrap: Callable[[Denoiser], Denoiser],
    denoiser: Denoiser | None = None,
    *,
    examples: int = 10,
    device: Device = "cpu",
    tolerance: float = 1e-4,
    limit: float = LIMIT,
) -> Check:
    """Check what a wrapper makes of a denoiser.

    Promises: all that `check_denoiser` has of the wrapped denoiser; it keeps channels and table of the one inside, and
    that predicts the same after as before.

    Args:
        wrap: the wrapper with its settings, such as functools.partial(Sharper, amount=2).
        denoiser: what to wrap; None: one in closed form, that paints (6, 5) pixels in RGB.
        limit: as for `check_denoiser`.
    """
    inside = closed_form() if denoiser is None else denoiser

    def judge(x_t: Tensor, t: int) -> Iterator[Verdict]:
        inner = x_t.new_ones(len(x_t), *inside.spec.shape)
        before = inside(inner, t).clean
        wrapped = yield from purely(wrap, inside)
        yield from _description(wrapped)
        kept = getattr(wrapped, "denoiser", None) is inside
        yield Verdict("it keeps the denoiser inside as its attribute `denoiser`", kept)
        same = torch.equal(wrapped.noise.alpha_bar, inside.noise.alpha_bar)
        kept = _channels(wrapped.spec) == _channels(inside.spec)
        yield Verdict("it keeps the channels of the denoiser inside", kept, f"{wrapped.spec}")
        yield Verdict("it keeps the noise table of the denoiser inside", same)
        yield from _predictions(wrapped, x_t, t, tolerance, limit)
        after = inside(inner, t).clean
        yield Verdict("the denoiser inside predicts the same after as before", torch.equal(before, after))

    ask = "wrap(denoiser)(x_t, {t})"
    if denoiser is None:
        ask = f"from dmix_core.testing.model_checks import closed_form\ndenoiser = closed_form()\n{ask}"
    return _States(_wrapped_spec(wrap, inside), inside.noise.steps, device).check(judge, ask, examples)


@Conformance
def check_classifier(
    classifier: Classifier,
    spec: Spec = SPEC,
    noise: NoiseSchedule | None = None,
    *,
    examples: int = 10,
    device: Device = "cpu",
    tolerance: float = 1e-4,
) -> Check:
    """Check a classifier of noisy images on states of this spec at levels of this table.

    Promises: log p is (B,), of the state's dtype and device, finite and 0 or less; its gradient with respect to the
    state is there and finite.

    Args:
        noise: None: linear, 1000 levels.
    """
    table = noise or NoiseSchedule.linear()

    @torch.no_grad()
    def log_p(x_t: Tensor, t: int) -> Tensor:
        return classifier(x_t, t, table)

    @torch.enable_grad()
    def slope(x_t: Tensor, t: int) -> Tensor:
        x_t = x_t.clone().requires_grad_()
        predicted: Tensor = classifier(x_t, t, table).sum()
        found = torch.autograd.grad(predicted, x_t, allow_unused=True)[0] if predicted.requires_grad else None
        return torch.full_like(x_t, torch.nan) if found is None else found

    def judge(x_t: Tensor, t: int) -> Iterator[Verdict]:
        predicted = yield from purely(log_p, x_t, t)
        yield from form("log p", predicted, x_t, x_t.shape[:1])
        yield Verdict("log p is 0 or less", float(predicted.max()) <= 1e-5, f"it reaches {float(predicted.max()):.4g}")
        yield from steady(lambda x: log_p(x, t), x_t, predicted, tolerance)
        gradient = yield from answered(slope, x_t, t)
        finite = bool(torch.isfinite(gradient).all())
        yield Verdict("log p has a finite gradient with respect to the state", finite)
        yield from apart(lambda b: slope(x_t[b : b + 1], t), gradient, tolerance)

    ask = "classifier(x_t, {t}, noise)"
    if noise is None:
        ask = f"from dmix_core import NoiseSchedule\nnoise = NoiseSchedule.linear()\n{ask}"
    return _States(spec, table.steps, device).check(judge, ask, examples)


def closed_form() -> Denoiser:
    """What a wrapper wraps where nothing is given."""
    return GaussianDenoiser(SPEC, torch.full((SPEC.channels, 1, 1), 0.2), 0.5)


class _States(NamedTuple):
    """States of pure noise at the levels 1..last."""

    spec: Spec
    last: int
    device: Device

    def check(self, judge: Callable[[Tensor, int], Iterator[Verdict]], ask: str, examples: int) -> Check:
        """A check whose judge is given a state and its level; `ask` is Python that asks about x_t at level {t}."""

        def case(t: int, batch: int, seed: int) -> Input:
            sizes = ", ".join(map(str, (batch, *self.spec.shape)))
            made = f"torch.randn({sizes}, generator=torch.Generator().manual_seed({seed})){moving(self.device)}"
            code = f"import torch\nx_t = {made}\n{ask.format(t=t)}"
            return Input((t, batch, seed), f"t={t}, batch={batch}, seed={seed}", code)

        def judge_state(t: int, batch: int, seed: int) -> Iterator[Verdict]:
            x_t = torch.randn(batch, *self.spec.shape, generator=torch.Generator().manual_seed(seed))
            return judge(x_t.to(self.device), t)

        drawn = st.builds(case, st.integers(1, self.last), st.integers(1, 3), st.integers(0, 2**32 - 1))
        return Check(drawn, judge_state, examples, [case(self.last, 2, 0), case(1, 2, 0)])


def _description(denoiser: Denoiser) -> Iterator[Verdict]:
    spec, noise = denoiser.spec, denoiser.noise
    yield Verdict("spec is a Spec", isinstance(spec, Spec), f"it is {spec!r}")
    yield Verdict("noise is a NoiseSchedule", isinstance(noise, NoiseSchedule), f"it is {noise!r}")
    if not (isinstance(spec, Spec) and isinstance(noise, NoiseSchedule)):
        raise Unanswered
    positive = min(spec.size) >= 1 and spec.image_channels >= 1
    yield Verdict("size and image channels are positive", positive, f"{spec}")
    yield Verdict("there are 0 or 1 mask channels", spec.mask_channels in (0, 1), f"{spec}")


def _predictions(denoiser: Denoiser, x_t: Tensor, t: int, tolerance: float, limit: float) -> Iterator[Verdict]:
    predicted = yield from _prediction(denoiser, x_t, t, limit)
    yield from steady(lambda x: denoiser(x, t).clean, x_t, predicted.clean, tolerance)
    inferred = yield from answered(torch.inference_mode()(lambda: denoiser(x_t.clone(), t)))
    same = torch.allclose(inferred.clean, predicted.clean, rtol=tolerance, atol=tolerance)
    yield Verdict("it predicts the same under torch.inference_mode()", same)
    if denoiser.spec.still:
        other = yield from answered(denoiser, -x_t, 1)
        yield Verdict("a still one predicts the same from every state", torch.equal(other.clean, predicted.clean))
    if isinstance(denoiser, BatchedDenoiser):
        yield from _family(denoiser, x_t, t, predicted.clean, tolerance)
    if isinstance(denoiser, StatefulDenoiser):
        yield from _trajectory(denoiser, x_t, t, tolerance)


def _trajectory(denoiser: StatefulDenoiser, x_t: Tensor, t: int, tolerance: float) -> Iterator[Verdict]:
    """Two steps of a sample are the same alone and in its batch, and leave the state between them as it is."""

    def walked(x: Tensor) -> Tensor:
        _, state = denoiser.step(x, t, denoiser.init(x))
        return denoiser.step(x / 2, max(t - 1, 1), state)[0].clean

    _, state = yield from purely(denoiser.step, x_t, t, denoiser.init(x_t))
    yield from purely(denoiser.step, x_t, t, state)
    both = yield from answered(walked, x_t)
    yield from steady(walked, x_t, both, tolerance)


def _family(denoiser: BatchedDenoiser, x_t: Tensor, t: int, clean: Tensor, tolerance: float) -> Iterator[Verdict]:
    """Joined with itself it predicts of each part what it predicts of that alone."""
    yield Verdict("its family is hashable", isinstance(denoiser.family, Hashable))
    joined = yield from answered(denoiser.joined, [denoiser, denoiser])
    both = yield from answered(joined, torch.cat([x_t, x_t]), t)
    same = torch.allclose(both.clean, torch.cat([clean, clean]), rtol=tolerance, atol=tolerance)
    yield Verdict("joined with its family, each predicts of its part what it does alone", same)


def _prediction(denoiser: Denoiser, x_t: Tensor, t: int, limit: float) -> Judged[Prediction]:
    """What it predicts from a state, of the right form."""
    predicted = yield from purely(denoiser, x_t, t)
    yield Verdict("the answer is a Prediction", isinstance(predicted, Prediction), f"it is {type(predicted).__name__}")
    clean, spread = predicted
    yield from _bounded("the clean image", clean, x_t, limit, x_t.shape)
    if spread is not None:
        yield from _bounded("the spread", spread, x_t, limit)
        shapes = f"{(*spread.shape,)} to {(*clean.shape,)}"
        yield Verdict("the spread broadcasts to the clean image", broadcasts(spread, clean), f"not {shapes}")
    return predicted


def _bounded(
    name: str, tensor: Tensor, x_t: Tensor, limit: float, shape: Sequence[int] | None = None
) -> Iterator[Verdict]:
    yield from form(name, tensor, x_t, shape)
    yield from free(name, tensor)
    most = float(tensor.abs().max())
    yield Verdict(f"{name}: within the limit", most <= limit, f"it reaches {most:.4g}, the limit is {limit}")


def _channels(spec: Spec) -> tuple[int, int]:
    return spec.image_channels, spec.mask_channels


def _wrapped_spec(wrap: Callable[[Denoiser], Denoiser], inside: Denoiser) -> Spec:
    """What the wrapped denoiser paints, perhaps another size; the one inside where `judge` will state what is wrong."""
    try:
        spec = wrap(deepcopy(inside)).spec  # a copy, since what wrapping does to the one inside is judged later
        return spec if _channels(spec) == _channels(inside.spec) and min(spec.shape) >= 1 else inside.spec
    except Exception:
        return inside.spec
