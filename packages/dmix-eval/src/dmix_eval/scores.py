"""How good maps of defects are, from counts of pixels: for all pictures at once, or for many weightings of them.

Weights (R, N) say how often each of N pictures counts in each of R resamples; all figures are (R,).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .histograms import Seen, edges

Numbers = NDArray[np.float64]

FALSE_POSITIVES = (1e-5, 1e-4)
"""Between which shares of a normal picture's pixels AUPIMO integrates."""
LEVELS = 65  # of them

MEASURES = ("pixel AP", "F1-max", "pixel AUROC", "AUPIMO", "image AUROC")
"""Of all of them more is better."""


class PixelCounts(NamedTuple):
    """Pixels that are said to be defects.

    Attributes:
        false: those that are none.
        false_on_normal: of these, those of normal pictures.
        found: those that are defects.
        defects: how many there are to be found.
    """

    false: int
    false_on_normal: int
    found: int
    defects: int


class Scores:
    """The measures of one detector on one part.

    Args:
        seen: what it said of each picture.
    """

    def __init__(self, seen: Sequence[Seen]) -> None:
        self.seen = seen
        self.defects = np.stack([each.defects for each in seen]).astype(float)
        self.rest = np.stack([each.rest for each in seen]).astype(float)
        self.scores = np.array([each.score for each in seen])
        self.normal = np.array([each.normal for each in seen])

    @property
    def once(self) -> Numbers:
        """(1, N) weights by which each picture counts once."""
        return np.ones((1, len(self.seen)))

    def figures(self, weights: Numbers) -> dict[str, Numbers]:
        """Every measure, (R,) each."""
        hits, alarms = (_from_the_top(weights @ each) for each in (self.defects, self.rest))
        return {
            "pixel AP": pixel_ap(hits, alarms),
            "F1-max": f1(hits, alarms).max(1),
            "pixel AUROC": pixel_auroc(hits, alarms),
            "AUPIMO": self._aupimo(weights),
            "image AUROC": self._image_auroc(weights),
        }

    def threshold(self) -> float:
        """The probability at which F1 is highest."""
        hits, alarms = (_from_the_top(self.once @ each) for each in (self.defects, self.rest))
        return float(edges()[::-1][f1(hits, alarms)[0].argmax()])

    def _aupimo(self, weights: Numbers) -> Numbers:
        """The mean over pictures of defects of recall, averaged over the logarithm of the false positive rate.

        The rate is the mean over normal pictures, between `FALSE_POSITIVES` (Bertoldo et al., AUPIMO, 2024,
        arXiv:2401.01984). NaN without normal pictures, or without defects.
        """
        recall = _from_the_top(self.defects[~self.normal])
        recall /= recall[:, -1:]
        alarms = _from_the_top(self.rest[self.normal])
        of_normal, of_defects = weights[:, self.normal], weights[:, ~self.normal]
        rates = of_normal @ (alarms / alarms[:, -1:]) / of_normal.sum(1, keepdims=True)
        levels, shares = np.geomspace(*FALSE_POSITIVES, LEVELS), _trapezoid(LEVELS)
        areas = []
        for rate in rates:
            at = np.searchsorted(rate, levels, side="right") - 1  # the lowest threshold that keeps to the level
            areas.append(np.where(at >= 0, recall[:, np.maximum(at, 0)], 0) @ shares)
        return np.asarray((np.stack(areas) * of_defects).sum(1) / of_defects.sum(1))

    def _image_auroc(self, weights: Numbers) -> Numbers:
        """The probability that a picture of a defect has a higher score than a normal one; ties count half."""
        defects, normal = self.scores[~self.normal, None], self.scores[None, self.normal]
        wins = (defects > normal) + 0.5 * (defects == normal)
        of_defects, of_normal = weights[:, ~self.normal], weights[:, self.normal]
        return np.asarray(((of_defects @ wins) * of_normal).sum(1) / (of_defects.sum(1) * of_normal.sum(1)))

    def pixels_at(self, threshold: float) -> PixelCounts:
        """How many pixels there are at and above a probability."""
        above = edges() >= threshold
        false = self.rest[:, above].sum(1)
        found = self.defects[:, above].sum()
        return PixelCounts(*map(int, (false.sum(), false[self.normal].sum(), found, self.defects.sum())))


def _from_the_top(counts: Numbers) -> Numbers:
    return counts[:, ::-1].cumsum(1)


def _trapezoid(count: int) -> Numbers:
    """The weights of equidistant values in their mean by the trapezoidal rule."""
    weights = np.full(count, 1.0)
    weights[[0, -1]] = 0.5
    return weights / weights.sum()


# ---- of true and false positives (R, BINS) at the threshold of each bin, from the highest down ---------------


def pixel_ap(hits: Numbers, alarms: Numbers) -> Numbers:
    """Average precision: the mean of precision weighted by the gain in recall."""
    precision = hits / np.maximum(hits + alarms, 1)
    gain = np.diff(hits, axis=1, prepend=0) / hits[:, -1:]
    return np.asarray((precision * gain).sum(1))


def pixel_auroc(hits: Numbers, alarms: Numbers) -> Numbers:
    """Area under the receiver's curve."""
    recall, rate = (np.pad(each / each[:, -1:], ((0, 0), (1, 0))) for each in (hits, alarms))
    return np.asarray(np.trapezoid(recall, rate, axis=1))


def f1(hits: Numbers, alarms: Numbers) -> Numbers:
    """(R, BINS)."""
    return np.asarray(2 * hits / np.maximum(hits + alarms + hits[:, -1:], 1))


# ---- the bootstrap ------------------------------------------------------------------------------------------


def resampled(groups: Sequence[str], strata: Sequence[bool], count: int, seed: int = 0) -> Numbers:
    """Weights (count, N) of a bootstrap: groups drawn with replacement, in each stratum as many as there are.

    Args:
        groups: of each picture; each its own for a bootstrap by picture.
        strata: whether the picture is normal; a group that has both is drawn as one with defects.
    """
    random = np.random.default_rng(seed)
    names, of_picture = np.unique(np.array(groups), return_inverse=True)
    only_normal = np.array(
        [all(s for g, s in zip(of_picture, strata, strict=True) if g == n) for n in range(len(names))]
    )
    drawn = np.zeros((count, len(names)))
    for those in (np.flatnonzero(only_normal), np.flatnonzero(~only_normal)):
        if len(those):
            drawn[:, those] = random.multinomial(len(those), np.full(len(those), 1 / len(those)), count)
    return drawn[:, of_picture]
