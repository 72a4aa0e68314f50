"""How the paper's equations 9 and 11 are read, where its text allows two readings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import CompositionError, did_you_mean

Others = Literal["clean", "noisy"]
Seams = Literal["keep-variance", "literal"]


@dataclass(frozen=True)
class Equations:
    """The reading of eqs. 9 and 11; by default the one that keeps the variance of the noise right.

    Args:
        others: which of the other models' tensors is noised in eq. 9: their "clean" prediction, or "noisy", their state
            x_t, the paper's literal notation, which has 1 + abar_s (1 - abar_t) / (1 - abar_s) times the right noise
            variance: twice at first, more near the end. A still image is the same under both.
        seams: how noise is mixed where a weight w lies between 0 and 1: "keep-variance" gives the fresh noise the
            weight sqrt(1 - w^2), "literal" is eq. 11 to the letter, which loses variance there; equal for hard masks.

    Raises:
        CompositionError: another reading.
    """

    others: Others = "clean"
    seams: Seams = "keep-variance"

    def __post_init__(self) -> None:
        _check("others", self.others, ("clean", "noisy"))
        _check("seams", self.seams, ("keep-variance", "literal"))


def _check(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise CompositionError(
            f"{name} is {given!r}; expected {' or '.join(map(repr, known))}.{did_you_mean(given, known)}"
        )
