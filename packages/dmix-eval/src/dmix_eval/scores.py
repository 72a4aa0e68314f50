"""How good maps of defects are, from counts of pixels: for all pictures at once, or for many weightings of them.

Weights (R, N) say how often each of N pictures counts in each of R resamples; all figures are (R,).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .histograms import Seen, edges

Numbers = NDArray[np.float64]

FALSE_POSITIVES = (1e-5, 1e-4)
"""Between which shares of a normal picture's pixels AUPIMO integrates."""


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

    def _found(self, weights: Numbers) -> tuple[Numbers, Numbers]:
        """(R, BINS) true and false positives at the threshold of each bin, from the highest bin down."""
        hits, alarms = (_from_the_top(weights @ each) for each in (self.defects, self.rest))
        return hits, alarms

    def pixel_ap(self, weights: Numbers) -> Numbers:
        """Average precision over all pixels: the mean of precision weighted by the gain in recall."""
        hits, alarms = self._found(weights)
        precision = hits / np.maximum(hits + alarms, 1)
        gain = np.diff(hits, axis=1, prepend=0) / hits[:, -1:]
        return np.asarray((precision * gain).sum(1))

    def pixel_auroc(self, weights: Numbers) -> Numbers:
        """Area under the receiver's curve of all pixels."""
        hits, alarms = (np.pad(each / each[:, -1:], ((0, 0), (1, 0))) for each in self._found(weights))
        return np.asarray(np.trapezoid(hits, alarms, axis=1))

    def f1_max(self, weights: Numbers) -> Numbers:
        """The highest F1 of pixels over all thresholds."""
        return self._f1(weights).max(1)

    def threshold(self) -> float:
        """The probability at which F1 is highest."""
        return float(edges()[::-1][self._f1(self.once)[0].argmax()])

    def _f1(self, weights: Numbers) -> Numbers:
        hits, alarms = self._found(weights)
        f1: Numbers = 2 * hits / np.maximum(hits + alarms + hits[:, -1:], 1)
        return f1

    def aupimo(self, weights: Numbers) -> Numbers:
        """The mean over pictures of defects of recall, averaged over the logarithm of the false positive rate.

        The rate is the mean over normal pictures, between `FALSE_POSITIVES` (Bertoldo et al., AUPIMO, 2024,
        arXiv:2401.01984). NaN without normal pictures, or without defects.
        """
        recall = _from_the_top(self.defects[~self.normal])
        recall /= recall[:, -1:]
        pixels = self.rest[self.normal].sum(1, keepdims=True)
        of_normal, of_defects = weights[:, self.normal], weights[:, ~self.normal]
        rates = of_normal @ (_from_the_top(self.rest[self.normal]) / pixels) / of_normal.sum(1, keepdims=True)
        levels = np.geomspace(*FALSE_POSITIVES, 65)
        result = []
        for rate, share in zip(rates, of_defects, strict=True):
            at = np.searchsorted(rate, levels, side="right") - 1  # the lowest threshold that keeps to the level
            areas = np.where(at >= 0, recall[:, np.maximum(at, 0)], 0) @ _trapezoid(len(levels))
            result.append((share @ areas) / share.sum() if share.sum() else np.nan)
        return np.array(result)

    def image_auroc(self, weights: Numbers) -> Numbers:
        """The probability that a picture of a defect has a higher score than a normal one; ties count half."""
        above = self.scores[~self.normal, None] > self.scores[None, self.normal]
        wins = above + 0.5 * (self.scores[~self.normal, None] == self.scores[None, self.normal])
        of_defects, of_normal = weights[:, ~self.normal], weights[:, self.normal]
        return np.asarray(
            np.einsum("rd,dn,rn->r", of_defects, wins, of_normal) / (of_defects.sum(1) * of_normal.sum(1))
        )

    def pixels_at(self, threshold: float) -> tuple[int, int, int]:
        """False pixels, found pixels, and pixels of defects in all, at a probability."""
        above = edges() >= threshold
        return int(self.rest[:, above].sum()), int(self.defects[:, above].sum()), int(self.defects.sum())


def _from_the_top(counts: Numbers) -> Numbers:
    return counts[:, ::-1].cumsum(1)


def _trapezoid(count: int) -> Numbers:
    """The weights of equidistant values in their mean by the trapezoidal rule."""
    weights = np.full(count, 1.0)
    weights[[0, -1]] = 0.5
    return weights / weights.sum()


MEASURES: dict[str, Callable[[Scores, Numbers], Numbers]] = {
    "pixel AP": Scores.pixel_ap,
    "F1-max": Scores.f1_max,
    "pixel AUROC": Scores.pixel_auroc,
    "AUPIMO": Scores.aupimo,
    "image AUROC": Scores.image_auroc,
}
"""Each measure by its name; more is better in all of them."""


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
