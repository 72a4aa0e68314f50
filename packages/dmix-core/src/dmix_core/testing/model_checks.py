"""Conformance checks of denoisers, of the wrappers around them and of classifiers of noisy images."""

from collections.abc import Callable, Hashable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from ..checks import broadcasts
from ..noise import NoiseSchedule
from ..protocols import BatchedDenoiser, Classifier, Denoiser, Prediction, Spec, StatefulDenoiser
from .denoisers import GaussianDenoiser
from .promises import Check, Judged, Unanswered, Verdict, answered, apart, form, free, moving, purely, steady

LIMIT = 10.0
"""How far predictions go from 0 at most, unless another limit is given; they should lie in about [-1, 1]."""
SPEC = Spec((6, 5))
"""Of closed-form denoisers, and of what classifiers look at, where none is given."""


def check_denoiser(
    denoiser: Denoiser,
    *,
    examples: int = 10,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-4,
    limit: float = LIMIT,
) -> None:
    """Check a denoiser at its first level, its last one and some between.

    Promises: spec and noise are what they should be; the clean prediction has the state's shape, dtype and device, is
    finite, without gradient and within the limit; the spread broadcasts to it, is finite and within the limit; the
    same input gives the same bits, under torch.inference_mode() too; samples of a batch do not depend on each other;
    the state and the global random generators are left alone; a still one predicts the same from every state; one
    that has a family predicts the same joined with it.

    Args:
        device: where the denoiser is.
        tolerance: how much a sample may differ alone and in a batch, where sums run in another order.
        limit: how far from 0 predictions may go; math.inf for a network that does not clip its clean image.

    Raises BrokenPromise.
    """
    denoiser_check(denoiser, examples, device, tolerance, limit).run()


def check_wrapper(
    wrap: Callable[[Denoiser], Denoiser],
    denoiser: Denoiser | None = None,
    *,
    examples: int = 10,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-4,
    limit: float = LIMIT,
) -> None:
    """Check what a wrapper makes of a denoiser.

    Promises: all that `check_denoiser` has of the wrapped denoiser; it keeps channels and table of the one inside, and
    that predicts the same after as before.

    Args:
        wrap: the wrapper with its settings, such as functools.partial(Sharper, amount=2).
        denoiser: what to wrap; None: one in closed form, that paints (6, 5) pixels in RGB.

    Raises BrokenPromise.
    """
    wrapper_check(wrap, denoiser, examples, device, tolerance, limit).run()


def check_classifier(
    classifier: Classifier,
    spec: Spec = SPEC,
    noise: NoiseSchedule | None = None,
    *,
    examples: int = 10,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-4,
) -> None:
    """Check a classifier of noisy images on states of this spec at levels of this table.

    Promises: log p is (B,), of the state's dtype and device, finite and 0 or less; its gradient with respect to the
    state is there and finite; both are the same for a sample alone and in a batch; the same input gives the same bits;
    the state and the global random generators are left alone.

    Args:
        noise: None: linear, 1000 levels.

    Raises BrokenPromise.
    """
    classifier_check(classifier, spec, noise, examples, device, tolerance).run()


def closed_form() -> Denoiser:
    """What a wrapper wraps where nothing is given."""
    return GaussianDenoiser(SPEC, torch.full((SPEC.channels, 1, 1), 0.2), 0.5)


@dataclass(frozen=True)
class _State:
    """A state of pure noise, and how to ask about it."""

    shape: tuple[int, ...]
    t: int
    seed: int
    device: torch.device | str
    ask: str

    def __str__(self) -> str:
        return f"t={self.t}, batch={self.shape[0]}, seed={self.seed}"

    @property
    def code(self) -> str:
        sizes = ", ".join(map(str, self.shape))
        x_t = f"torch.randn({sizes}, generator=torch.Generator().manual_seed({self.seed})){moving(self.device)}"
        return f"import torch\nx_t = {x_t}\n{self.ask.format(t=self.t)}"

    def of(self, spec: Spec) -> "_State":
        """The same for a denoiser that paints this."""
        return replace(self, shape=(self.shape[0], *spec.shape))

    @property
    def x_t(self) -> Tensor:
        return torch.randn(self.shape, generator=torch.Generator().manual_seed(self.seed)).to(self.device)


def _states(
    spec: Spec, last: int, device: torch.device | str, ask: str
) -> tuple[st.SearchStrategy[_State], list[_State]]:
    """States at the levels 1..last, and the two that are always tried."""

    def state(t: int, batch: int, seed: int) -> _State:
        return _State((batch, *spec.shape), t, seed, device, ask)

    drawn = st.builds(state, st.integers(1, last), st.integers(1, 3), st.integers(0, 2**32 - 1))
    return drawn, [state(last, 2, 0), state(1, 2, 0)]


# ---- denoisers ------------------------------------------------------------------------------------------------


def denoiser_check(
    denoiser: Denoiser,
    examples: int = 10,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-4,
    limit: float = LIMIT,
) -> Check[_State]:
    """What check_denoiser runs."""

    def judge(case: _State) -> Iterator[Verdict]:
        yield from _description(denoiser)
        yield from _predictions(denoiser, case, tolerance, limit)

    spec, noise = denoiser.spec, denoiser.noise
    fits = isinstance(spec, Spec) and isinstance(noise, NoiseSchedule) and min(spec.shape) >= 1
    drawn, first = _states(spec if fits else SPEC, noise.steps if fits else 1, device, "denoiser(x_t, {t})")
    return Check(drawn, judge, examples, first)


def _description(denoiser: Denoiser) -> Iterator[Verdict]:
    spec, noise = denoiser.spec, denoiser.noise
    yield Verdict("spec is a Spec", isinstance(spec, Spec), f"it is {spec!r}")
    yield Verdict("noise is a NoiseSchedule", isinstance(noise, NoiseSchedule), f"it is {noise!r}")
    if not (isinstance(spec, Spec) and isinstance(noise, NoiseSchedule)):
        raise Unanswered
    positive = min(spec.size) >= 1 and spec.image_channels >= 1
    yield Verdict("size and image channels are positive", positive, f"{spec}")
    yield Verdict("there are 0 or 1 mask channels", spec.mask_channels in (0, 1), f"{spec}")


def _predictions(denoiser: Denoiser, case: _State, tolerance: float, limit: float) -> Iterator[Verdict]:
    x_t, t = case.x_t, case.t
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
    yield from form("the clean image", clean, x_t, x_t.shape)
    yield from free("the clean image", clean)
    yield from _within("the clean image", clean, limit)
    if spread is not None:
        yield from form("the spread", spread, x_t)
        yield from free("the spread", spread)
        yield from _within("the spread", spread, limit)
        shapes = f"{(*spread.shape,)} to {(*clean.shape,)}"
        yield Verdict("the spread broadcasts to the clean image", broadcasts(spread, clean), f"not {shapes}")
    return predicted


def _within(name: str, tensor: Tensor, limit: float) -> Iterator[Verdict]:
    most = float(tensor.abs().max())
    yield Verdict(f"{name}: within the limit", most <= limit, f"it reaches {most:.4g}, the limit is {limit}")


# ---- wrappers -------------------------------------------------------------------------------------------------


def wrapper_check(
    wrap: Callable[[Denoiser], Denoiser],
    denoiser: Denoiser | None = None,
    examples: int = 10,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-4,
    limit: float = LIMIT,
) -> Check[_State]:
    """What check_wrapper runs."""
    inside = closed_form() if denoiser is None else denoiser

    def judge(case: _State) -> Iterator[Verdict]:
        x_t = case.of(inside.spec).x_t
        before = inside(x_t, case.t).clean
        wrapped = yield from purely(wrap, inside)
        yield from _description(wrapped)
        kept = getattr(wrapped, "denoiser", None) is inside
        yield Verdict("it keeps the denoiser inside as its attribute `denoiser`", kept)
        same = torch.equal(wrapped.noise.alpha_bar, inside.noise.alpha_bar)
        kept = _channels(wrapped.spec) == _channels(inside.spec)
        yield Verdict("it keeps the channels of the denoiser inside", kept, f"{wrapped.spec}")
        yield Verdict("it keeps the noise table of the denoiser inside", same)
        yield from _predictions(wrapped, case, tolerance, limit)
        after = inside(x_t, case.t).clean
        yield Verdict("the denoiser inside predicts the same after as before", torch.equal(before, after))

    ask = "wrap(denoiser)(x_t, {t})"
    if denoiser is None:
        ask = f"from dmix_core.testing.model_checks import closed_form\ndenoiser = closed_form()\n{ask}"
    drawn, first = _states(_wrapped_spec(wrap, inside), inside.noise.steps, device, ask)
    return Check(drawn, judge, examples, first)


def _channels(spec: Spec) -> tuple[int, int]:
    return spec.image_channels, spec.mask_channels


def _wrapped_spec(wrap: Callable[[Denoiser], Denoiser], inside: Denoiser) -> Spec:
    """What the wrapped denoiser paints, perhaps another size; the one inside where `judge` will state what is wrong."""
    try:
        spec = wrap(deepcopy(inside)).spec  # a copy, since what wrapping does to the one inside is judged later
        return spec if _channels(spec) == _channels(inside.spec) and min(spec.shape) >= 1 else inside.spec
    except Exception:
        return inside.spec


# ---- classifiers ----------------------------------------------------------------------------------------------


def classifier_check(
    classifier: Classifier,
    spec: Spec = SPEC,
    noise: NoiseSchedule | None = None,
    examples: int = 10,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-4,
) -> Check[_State]:
    """What check_classifier runs."""
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

    def judge(case: _State) -> Iterator[Verdict]:
        x_t, t = case.x_t, case.t
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
    drawn, first = _states(spec, table.steps, device, ask)
    return Check(drawn, judge, examples, first)
