"""Which precision is faster here: float32, or bfloat16 where the processor computes in it."""

import copy
import time
from collections.abc import Mapping
from statistics import median
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Precision = Literal["no", "bf16"]

GAIN = 1.2  # times as fast as float32 must bfloat16 be, to be worth its coarser numbers
ROUNDS = 5  # timed steps of each, at most
SECONDS = 20.0  # after which no further round begins
ROWS = 4  # images on a CPU, whose pace by the image hardly depends on how many there are


class PrecisionChoice(NamedTuple):
    """What was measured, and what follows."""

    chosen: Precision
    images_per_second: Mapping[Precision, float]

    def __str__(self) -> str:
        plain, half = self.images_per_second["no"], self.images_per_second["bf16"]
        why = "is worth it" if self.chosen == "bf16" else "is not worth it"
        return (
            f"{self.chosen} ({plain:.3g} images/s in float32, {half:.3g} in bfloat16, which {why}: "
            f"expected {GAIN:g} times as many)"
        )


def choose(images_per_second: Mapping[Precision, float]) -> PrecisionChoice:
    """bfloat16 where it is clearly faster."""
    faster = images_per_second["bf16"] >= GAIN * images_per_second["no"]
    return PrecisionChoice("bf16" if faster else "no", images_per_second)


def images_per_second(network: nn.Module, x_t: Tensor, times: Tensor, labels: Tensor | None) -> dict[Precision, float]:
    """The pace of forward and backward passes in each precision, on a copy of the network.

    The two take turns, so that what else runs on the machine slows both. Neither the network nor any random state
    changes.

    Args:
        x_t, times, labels: the network's arguments; on a CPU the first four images are taken.
    """
    rows = len(x_t) if x_t.is_cuda else min(ROWS, len(x_t))
    trial = copy.deepcopy(network)
    x_t, times, labels = x_t[:rows], times[:rows], None if labels is None else labels[:rows]
    kinds: tuple[Precision, Precision] = ("no", "bf16")
    seconds: dict[Precision, list[float]] = {"no": [], "bf16": []}
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[x_t.device] if x_t.is_cuda else []):
        for kind in kinds:
            _pass(trial, x_t, times, labels, kind)  # the first pass prepares what later ones use
        while not seconds["no"] or (len(seconds["no"]) < ROUNDS and time.perf_counter() - start < SECONDS):
            for kind in kinds:
                before = time.perf_counter()
                _pass(trial, x_t, times, labels, kind)
                seconds[kind].append(time.perf_counter() - before)
    return {kind: rows / median(taken) for kind, taken in seconds.items()}


def _pass(network: nn.Module, x_t: Tensor, times: Tensor, labels: Tensor | None, precision: Precision) -> None:
    with torch.autocast(x_t.device.type, torch.bfloat16, enabled=precision == "bf16"):
        output = network(x_t, times, labels)
    output.float().square().mean().backward()
    network.zero_grad()
    if x_t.is_cuda:
        torch.cuda.synchronize(x_t.device)
