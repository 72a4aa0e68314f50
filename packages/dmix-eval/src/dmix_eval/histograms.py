"""What a detector said of each picture's pixels, as counts, from which all pixel measures follow.

Probabilities are counted in bins of equal width in their logits. So a picture takes a few hundred bytes, and a
bootstrap over pictures adds counts instead of sorting pixels again.
"""

import base64
import zlib
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator

BINS = 1024
FURTHEST = 16.0  # logits beyond it are counted with it
SMALLEST = 1e-7  # a probability, of which float32 knows no smaller difference from 1

Counts = NDArray[np.int64]


def edges() -> NDArray[np.float64]:
    """(BINS,) the lowest probability of each bin."""
    logits = np.linspace(-FURTHEST, FURTHEST, BINS + 1)[:-1]
    return 1 / (1 + np.exp(-logits))


def counts(probabilities: NDArray[np.floating]) -> Counts:
    """How many of the values, 0..1, lie in each bin."""
    clipped = np.clip(probabilities.astype(np.float64).ravel(), SMALLEST, 1 - SMALLEST)
    logits = np.log(clipped) - np.log1p(-clipped)
    numbers = ((logits + FURTHEST) * (BINS / (2 * FURTHEST))).astype(np.intp).clip(0, BINS - 1)
    return np.bincount(numbers, minlength=BINS)


def _packed(numbers: Counts) -> str:
    return base64.b85encode(zlib.compress(numbers.astype("<u4").tobytes(), 9)).decode()


def _unpacked(value: Any) -> Counts:
    if isinstance(value, np.ndarray):
        return value
    numbers = np.frombuffer(zlib.decompress(base64.b85decode(value)), "<u4").astype(np.int64)
    if len(numbers) != BINS:
        raise ValueError(f"{len(numbers)} counts; expected {BINS}")
    return numbers


Stored = Annotated[Counts, PlainSerializer(_packed), PlainValidator(_unpacked)]
"""Counts, which JSON has as text."""


class Seen(BaseModel):
    """What a detector said of one picture.

    Attributes:
        name: of the picture.
        group: pictures of one thing share it.
        score: of the picture: the highest probability after smoothing.
        defects, rest: how many of the pixels with and without a defect lie in each bin.
        alarm: row and column of the highest probability that is not near a defect, and this probability; None where
            all is near one.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    group: str
    score: float
    defects: Stored
    rest: Stored
    alarm: tuple[int, int, float] | None = None

    @property
    def normal(self) -> bool:
        return not self.defects.any()
