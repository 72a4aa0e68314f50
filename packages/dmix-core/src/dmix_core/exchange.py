"""How regions take in each other: the two choices that the paper's eqs. 9 and 11 leave open."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import CompositionError, did_you_mean

Others = Literal["clean", "noisy"]
Seams = Literal["keep-variance", "literal"]


@dataclass(frozen=True)
class Exchange:
    """What a region is shown of the others, and how its noise is mixed where they meet.

    Attributes:
        others: which of the other models' tensors is noised in eq. 9: their "clean" prediction (default), or "noisy",
            their state x_t, the paper's literal notation, which has 1 + abar_s (1 - abar_t) / (1 - abar_s) times the
            right noise variance: twice at first, more near the end. A still image is the same under both.
        seams: how noise is mixed where a weight w lies between 0 and 1: "keep-variance" gives the fresh noise the
            weight sqrt(1 - w^2), "literal" is eq. 11 to the letter, which loses variance there; equal for hard masks.

    Raises:
        CompositionError: another word than these.
    """

    others: Others = "clean"
    seams: Seams = "keep-variance"

    def __post_init__(self) -> None:
        _check_one_of("others", self.others, get_args(Others))
        _check_one_of("seams", self.seams, get_args(Seams))


def _check_one_of(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        expected = " or ".join(map(repr, known))
        raise CompositionError(f"{name} is {given!r}; expected {expected}.{did_you_mean(given, known)}")
