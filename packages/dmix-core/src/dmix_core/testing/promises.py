"""Promises of every kind, each as verdicts on an answer."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from .checking import Device, Judged, Unanswered, Verdict

T = TypeVar("T")


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
        yield Verdict("the input is left as it was", all(map(torch.equal, before, inputs)))
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


def steady(ask: Callable[..., Tensor], given: Tensor, answer: Tensor, tolerance: float = 1e-5) -> Iterator[Verdict]:
    """Asked again the answer has the same bits, and each sample of the batch comes out as it does alone."""
    again = yield from answered(ask, given)
    yield from repeats([answer], [again])
    yield from apart(lambda b: ask(given[b : b + 1]), answer, tolerance)


def apart(ask: Callable[[int], Tensor], together: Tensor, tolerance: float = 1e-5) -> Iterator[Verdict]:
    """Each sample of a batch has come out as it does alone, up to rounding; `ask` is asked for it by its number."""
    for b in range(len(together)):
        single, expected = (yield from answered(ask, b)), together[b : b + 1]
        same = single.shape == expected.shape and torch.allclose(single, expected, rtol=tolerance, atol=tolerance)
        yield Verdict("a sample comes out the same alone and in its batch", same, f"sample {b} does not")


def moving(device: Device) -> str:
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
