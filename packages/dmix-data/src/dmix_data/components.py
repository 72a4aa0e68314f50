"""The connected components of a mask, found on its runs: the stretches of a row that it covers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.intp]
Mask = NDArray[np.bool_]


class Runs(NamedTuple):
    """The runs of a mask from top to bottom and left to right: row, first and last column of each, (N,) all."""

    row: Numbers
    first: Numbers
    last: Numbers


def label(mask: Mask, reach: int = 1) -> Numbers:
    """Number the components of a mask 1, 2, ... in the order of their last pixels.

    Pixels at most `reach` rows and columns apart belong together. Time and memory grow with the mask's pixels alone.
    """
    if reach > 1:
        (height, width), joined = mask.shape, label(grown(mask, reach))
        return _in_order(np.where(mask, joined[:height, :width], 0))
    runs = runs_of(mask)
    last = last_of_component(len(runs.row), *neighbours(runs))
    labels = np.zeros(mask.shape, np.intp)
    labels[mask] = np.repeat(np.unique(last, return_inverse=True)[1] + 1, runs.last - runs.first + 1)
    return labels


def grown(mask: Mask, side: int) -> Mask:
    """The mask (H + side - 1, W + side - 1) of squares, each with its top left corner at a pixel of a mask.

    Two squares touch, if only by their corners, where their pixels are at most `side` rows and columns apart.
    """
    for axis in (0, 1):
        length = mask.shape[axis] + side - 1
        before = [(0, 0), (0, 0)]
        before[axis] = (side, side - 1)
        total = np.pad(mask, before).cumsum(axis, dtype=np.int32)
        mask = total.take(range(side, side + length), axis) > total.take(range(length), axis)
    return mask


def _in_order(labels: Numbers) -> Numbers:
    """The same components, numbered in the order of their last pixels."""
    found = np.flatnonzero(labels)
    _, at, numbers = np.unique(labels.ravel()[found[::-1]], return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(-at))
    ordered = np.zeros_like(labels)
    ordered.ravel()[found[::-1]] = order[numbers] + 1
    return ordered


def runs_of(mask: Mask) -> Runs:
    steps = np.diff(mask.astype(np.int8), axis=1, prepend=0, append=0)
    row, first = np.nonzero(steps == 1)
    return Runs(row, first, np.nonzero(steps == -1)[1] - 1)


def neighbours(runs: Runs) -> tuple[Numbers, Numbers]:
    """The pairs of runs that touch, if only by their corners, the upper one first."""
    width = runs.last.max(initial=0) + 3  # so wide that what is touched does not leave its row
    firsts, lasts = (runs.row * width + column for column in (runs.first, runs.last))
    below = (runs.row + 1) * width
    start = np.searchsorted(lasts, below + runs.first - 1)
    count = np.searchsorted(firsts, below + runs.last + 1, "right") - start
    others = np.arange(count.sum()) - np.repeat(count.cumsum() - count - start, count)
    return np.repeat(np.arange(len(count)), count), others


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
