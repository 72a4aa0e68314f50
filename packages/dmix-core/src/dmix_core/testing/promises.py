"""What a conformance check is made of: drawn inputs, what is promised of each, and the word on a broken promise."""

import random
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, Verbosity, example, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

T = TypeVar("T")
C = TypeVar("C", bound="Input")


class Verdict(NamedTuple):
    """Whether one input kept one promise; a promise has the same words for every input."""

    promise: str
    kept: bool
    seen: str = ""
    """What was seen where it is broken."""
    cause: Exception | None = None


Judged = Generator[Verdict, None, T]
"""Verdicts, and at their end an answer to judge further."""


class Input(Protocol):
    """One input of a check: its text states which, its code is Python that makes it and asks again."""

    @property
    def code(self) -> str: ...


class BrokenPromise(AssertionError):
    """A promise, the input that broke it, and how to see it again."""

    def __init__(self, verdict: Verdict, broken_by: Input) -> None:
        self.verdict, self.input, self.code = verdict, str(broken_by), broken_by.code
        seen = f" ({verdict.seen})" if verdict.seen else ""
        code = "\n".join(f"    {line}" for line in self.code.splitlines())
        super().__init__(f"Broken promise: {verdict.promise}{seen}.\nInput: {self.input}.\nTo see it again:\n{code}")


@dataclass(frozen=True)
class Check(Generic[C]):
    """Drawn inputs, always the same ones, and a judge that gives its verdicts on each.

    Attributes:
        first: inputs that are tried before those that are drawn.
        last: inputs that are tried after them.
    """

    drawn: st.SearchStrategy[C]
    judge: Callable[[C], Iterator[Verdict]]
    examples: int
    first: Sequence[C] = ()
    last: Sequence[C] = ()

    def run(self) -> None:
        """Raise BrokenPromise for the first promise that is broken, with the simplest input that breaks it."""
        self._run(_Findings())

    def report(self) -> list["BrokenPromise | str"]:
        """Every promise that was put to the test: its words where it was kept, else how it was broken."""
        findings = _Findings()
        while True:
            try:
                self._run(findings)
            except BrokenPromise as broken:
                findings.broken[broken.verdict.promise] = broken
            else:
                return [findings.broken.get(promise, promise) for promise in findings.tried]

    def _run(self, findings: "_Findings") -> None:
        def judge(case: C) -> None:
            _judge(self.judge(case), case, findings)

        drawn = given(self.drawn)(judge)
        for case in reversed(self.first):
            drawn = example(case)(drawn)
        try:
            _drawing(self.examples)(drawn)()
        except Flaky:  # the same input, asked again, broke nothing
            if findings.latest is None:
                raise
            raise findings.latest from None
        for case in self.last:
            judge(case)


@dataclass
class _Findings:
    """Promises in the order in which they were first tried, and those that are known to be broken."""

    tried: dict[str, None] = field(default_factory=dict)
    broken: dict[str, BrokenPromise] = field(default_factory=dict)
    latest: BrokenPromise | None = None


class Unanswered(Exception):
    """There is nothing to judge further; the verdict on that has been given."""


def _judge(verdicts: Iterator[Verdict], case: Input, findings: _Findings) -> None:
    broken = False
    try:
        for verdict in verdicts:
            findings.tried.setdefault(verdict.promise)
            if not verdict.kept and verdict.promise not in findings.broken:
                findings.latest = BrokenPromise(verdict, case)
                raise findings.latest from verdict.cause
            broken = broken or not verdict.kept
    except BrokenPromise:
        raise
    except Exception as error:
        if not (broken or isinstance(error, Unanswered)):  # what cannot be judged, after what is known to be broken
            raise


def _drawing(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,  # BrokenPromise states what broke
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


# ---- promises of every kind -----------------------------------------------------------------------------------


def answered(ask: Callable[..., T], *given: Any) -> Judged[T]:
    """It answers; the answer is to be judged further."""
    try:
        answer = ask(*given)
    except Exception as error:
        yield Verdict("it answers without an error", False, f"{type(error).__name__}: {error}", error)
        raise Unanswered from error
    yield Verdict("it answers without an error", True)
    return answer


def purely(ask: Callable[..., T], *given: Any) -> Judged[T]:
    """It answers, and leaves what it is given and the global random generators alone."""
    inputs, generators = list(_tensors(given)), _generators()
    before = [tensor.clone() for tensor in inputs]
    answer = yield from answered(ask, *given)
    if inputs:
        same = all(map(torch.equal, before, inputs))
        yield Verdict("the input is left as it was", same)
    changed = [name for name, state in _generators().items() if state != generators[name]]
    yield Verdict("global random generators are left alone", not changed, f"changed: {', '.join(changed)}")
    return answer


def form(name: str, tensor: Tensor, like: Tensor, shape: Sequence[int] | None = None) -> Iterator[Verdict]:
    """A tensor of this name has the inputs' dtype and device, this shape if one is given, and is finite."""
    if not isinstance(tensor, Tensor):
        yield Verdict(f"{name}: a tensor", False, f"it is {type(tensor).__name__}")
        raise Unanswered
    if shape is not None:
        yield Verdict(f"{name}: the right shape", (*tensor.shape,) == (*shape,), f"{(*tensor.shape,)}, not {(*shape,)}")
    yield Verdict(f"{name}: the input's dtype", tensor.dtype == like.dtype, f"{tensor.dtype}, not {like.dtype}")
    yield Verdict(f"{name}: the input's device", tensor.device == like.device, f"{tensor.device}, not {like.device}")
    strange = int((~torch.isfinite(tensor)).sum())
    yield Verdict(f"{name}: neither NaN nor infinity", not strange, f"{strange} of {tensor.numel()} values")


def free(name: str, tensor: Tensor) -> Iterator[Verdict]:
    """A tensor of this name keeps no graph of what it was computed from."""
    yield Verdict(f"{name}: no gradient", not tensor.requires_grad, "compute it under torch.no_grad()")


def repeats(first: Iterable[Tensor], second: Iterable[Tensor]) -> Iterator[Verdict]:
    """The second answer to the same input has the same bits."""
    yield Verdict("the same input gives the same bits", all(map(torch.equal, first, second)))


def alone(sample: int, alone: Tensor, together: Tensor, tolerance: float = 1e-5) -> Iterator[Verdict]:
    """A sample of a batch has come out as it does alone, up to rounding."""
    together = together[sample : sample + 1]
    same = alone.shape == together.shape and torch.allclose(alone, together, rtol=tolerance, atol=tolerance)
    yield Verdict("a sample comes out the same alone and in its batch", same, f"sample {sample} does not")


def steady(ask: Callable[..., Tensor], given: Tensor, answer: Tensor, tolerance: float = 1e-5) -> Iterator[Verdict]:
    """Asked again the answer has the same bits, and each sample of the batch comes out as it does alone."""
    again = yield from answered(ask, given)
    yield from repeats([answer], [again])
    yield from apart(lambda b: ask(given[b : b + 1]), answer, tolerance)


def apart(ask: Callable[[int], Tensor], together: Tensor, tolerance: float = 1e-5) -> Iterator[Verdict]:
    """Each sample of a batch has come out as it does alone, which `ask` is asked for by its number."""
    for b in range(len(together)):
        single = yield from answered(ask, b)
        yield from alone(b, single, together, tolerance)


def moving(device: torch.device | str) -> str:
    """Python for "to this device", behind a tensor that was made on the CPU."""
    return "" if str(device) == "cpu" else f".to({str(device)!r})"


def elsewhere(ask: Callable[[Callable[[Tensor], Tensor]], Iterable[Tensor]]) -> Iterator[Verdict]:
    """The answer follows its input to another device.

    Nothing is computed there: tensors have shape, dtype and device, but no values, so that no other device is needed.
    What cannot go on without values goes unjudged.

    Args:
        ask: is given what moves a tensor there.
    """
    promise = "the answer follows its input to another device"
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            at = {tensor.device.type for tensor in ask(_without_values)}
    except Exception as error:
        if re.search("two (different )?devices", str(error)):
            yield Verdict(promise, False, "what it computes with lies on two devices", error)
    else:
        yield Verdict(promise, at == {"meta"}, f"it stays on {', '.join(sorted(at - {'meta'}))}")


def _tensors(given: object) -> Iterator[Tensor]:
    """Every tensor in it, also in tuples, lists and the fields of dataclasses."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, list | tuple):
        for part in given:
            yield from _tensors(part)
    elif is_dataclass(given):
        yield from _tensors([getattr(given, part.name) for part in fields(given)])


def _without_values(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _generators() -> dict[str, object]:
    """The state of every global random generator, to compare."""
    states: dict[str, object] = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "random": random.getstate(),
        "numpy": [part.tobytes() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["torch.cuda"] = [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
    return states
