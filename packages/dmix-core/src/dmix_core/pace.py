"""How long networks take in either arithmetic, measured in passing."""

import time
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import torch

from .backends import Eager
from .devices import device_of, move, parts
from .protocols import Denoiser
from .wrapper import family_of

BUDGET = 0.25
"""Seconds after which no further round begins."""
ROUNDS = 6
"""At most, of a call of each network in each arithmetic."""


class Seconds(NamedTuple):
    """For a call of each network."""

    float32: float
    bfloat16: float


def seconds_of_calls(denoisers: Sequence[Denoiser], samples: int = 1) -> Seconds | None:
    """Call denoisers that compute in bfloat16 by turns in that and in float32; of one family only one is called.

    It takes about a quarter of a second, or two calls of each in each arithmetic. Afterwards they are as before.

    Args:
        samples: how many in a call. bfloat16 may be slower with one, and faster with eight.

    Returns:
        None where other backends than torch run them, which may prepare a network for minutes.
    """
    called = [*{family_of(each): each for each in denoisers}.values()]
    if any(not isinstance(getattr(part, "backend", Eager()), Eager) for each in called for part in parts(each)):
        return None
    end, rounds = time.perf_counter() + BUDGET, [_round(called, samples)]
    while len(rounds) < ROUNDS and time.perf_counter() < end:
        rounds.append(_round(called, samples))
    return Seconds(*(median(times) for times in zip(*rounds, strict=True)))


def _round(denoisers: Sequence[Denoiser], samples: int) -> Seconds:
    """float32 first, so that bfloat16 is what is left."""
    dtypes = torch.float32, torch.bfloat16
    return Seconds(*(sum(_call(each, samples, dtype) for each in denoisers) for dtype in dtypes))


def _call(denoiser: Denoiser, samples: int, dtype: torch.dtype) -> float:
    move(denoiser, None, dtype)
    x = torch.zeros(samples, *denoiser.spec.shape, device=device_of([denoiser]))
    denoiser(x, denoiser.noise.steps)  # the first call prepares what later ones use
    start = time.perf_counter()
    denoiser(x, denoiser.noise.steps)
    return time.perf_counter() - start
