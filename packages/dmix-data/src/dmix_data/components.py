"""The connected components of a mask, found on its runs: the stretches of a row that it covers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.intp]


class Runs(NamedTuple):
    """The runs of a mask from top to bottom and left to right: row, first and last column of each, (N,) all."""

    row: Numbers
    first: Numbers
    last: Numbers


def label(mask: NDArray[np.bool_], reach: int = 1) -> Numbers:
    """Number the components of a mask 1, 2, ... in the order of their last pixels.

    Pixels at most `reach` rows and columns apart belong together.
    """
    labels = np.zeros(mask.shape, np.intp)
    runs = runs_of(mask)
    last = last_of_component(len(runs.row), *neighbours(runs, reach))
    numbers = np.unique(last, return_inverse=True)[1] + 1
    labels[mask] = np.repeat(numbers, runs.last - runs.first + 1)
    return labels


def runs_of(mask: NDArray[np.bool_]) -> Runs:
    steps = np.diff(mask.astype(np.int8), axis=1, prepend=0, append=0)
    row, first = np.nonzero(steps == 1)
    return Runs(row, first, np.nonzero(steps == -1)[1] - 1)


def neighbours(runs: Runs, reach: int) -> tuple[Numbers, Numbers]:
    """The pairs of runs that belong together, each pair in both orders or one."""
    width = runs.last.max(initial=0) + 2 * reach + 1  # so wide that what is reached does not leave its row
    firsts, lasts = (runs.row * width + column for column in (runs.first, runs.last))
    pairs = []
    for below in range(reach + 1):
        row = (runs.row + below) * width
        start = np.searchsorted(lasts, row + runs.first - reach)
        count = np.searchsorted(firsts, row + runs.last + reach, "right") - start
        others = np.arange(count.sum()) - np.repeat(count.cumsum() - count - start, count)
        pairs.append((np.repeat(np.arange(len(count)), count), others))
    one, other = (np.concatenate(each) for each in zip(*pairs, strict=True))
    return one, other


def last_of_component(count: int, one: Numbers, other: Numbers) -> Numbers:
    """For each of so many runs, the last one that a chain of pairs leads to."""
    last = np.arange(count)
    while True:
        further = last.copy()
        reached = np.maximum(last[one], last[other])
        np.maximum.at(further, last[one], reached)
        np.maximum.at(further, last[other], reached)
        while ((jump := further[further]) != further).any():
            further = jump
        if (further == last).all():
            return last
        last = further
