"""How far a set's figures are from real ones, beside how far real ones are from each other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from .specimens import Specimen, halves

RESAMPLES = 200
INTERVAL = (0.025, 0.975)
ERASED = 0.05  # the quantile of real |contrast| below which an object counts as erased

Numbers = NDArray[np.float64]


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


NONE = Estimate(*[float("nan")] * 3)


class Compared(NamedTuple):
    """A figure of a set against real objects.

    Attributes:
        mean, real_mean: with intervals of resampled groups.
        distance: Wasserstein's, in standard deviations of the real ones.
        between_real: the same between halves of the real groups: the mean and where 95 % of such halves lie.
    """

    mean: Estimate
    real_mean: Estimate
    distance: Estimate
    between_real: Estimate

    @property
    def apart(self) -> bool:
        """Whether the set is further from the real ones than these are from each other in 95 % of halves."""
        return self.distance.low > self.between_real.high


class Values:
    """One figure of many objects, and their groups; undefined ones are left out."""

    def __init__(self, values: Sequence[float], groups: Sequence[str]) -> None:
        known = [number for number, value in enumerate(values) if not np.isnan(value)]
        self.values = np.array([values[number] for number in known])
        self.groups = np.array([groups[number] for number in known])

    def __len__(self) -> int:
        return len(self.values)

    def resampled(self, random: np.random.Generator) -> Numbers:
        """The values of groups drawn with replacement."""
        names = np.unique(self.groups)
        drawn = random.choice(names, len(names))
        return np.concatenate([self.values[self.groups == name] for name in drawn])


def compare_values(ours: Values, real: Values, between_real: Estimate) -> Compared:
    """A figure of a set against the same figure of real objects; NaN where either has none."""
    if not len(ours):
        return Compared(NONE, _mean(real) if len(real) else NONE, NONE, between_real)
    if not len(real):
        return Compared(_mean(ours), NONE, NONE, between_real)
    return Compared(_mean(ours), _mean(real), _distance(ours, real), between_real)


def _mean(values: Values) -> Estimate:
    random = np.random.default_rng(0)
    means = [values.resampled(random).mean() for _ in range(RESAMPLES)]
    return Estimate(float(values.values.mean()), *map(float, np.quantile(means, INTERVAL)))


def _distance(ours: Values, real: Values) -> Estimate:
    random = np.random.default_rng(0)
    spread = _spread(real.values)
    again = [wasserstein_distance(ours.resampled(random), real.resampled(random)) / spread for _ in range(RESAMPLES)]
    value = wasserstein_distance(ours.values, real.values) / spread
    return Estimate(float(value), *map(float, np.quantile(again, INTERVAL)))


def _spread(values: Numbers) -> float:
    return float(values.std()) or 1.0  # of what is the same for all, such as one piece


def between_halves(real: Sequence[Specimen], values: Sequence[float]) -> Estimate:
    """The distances of one half of the real groups from the other, over many halves."""
    if np.isnan(values).all():
        return NONE
    by_object = dict(zip(map(id, real), values, strict=True))
    spread = _spread(Values(values, [each.group for each in real]).values)
    found = []
    for seed in range(RESAMPLES // 4):
        one, other = (
            Values([by_object[id(each)] for each in half], [each.group for each in half]) for half in halves(real, seed)
        )
        if len(one) and len(other):
            found.append(wasserstein_distance(one.values, other.values) / spread)
    return Estimate(float(np.mean(found)), *map(float, np.quantile(found, INTERVAL))) if found else NONE


def erased_share(ours: Values, real: Values) -> Estimate:
    """The share of objects that are fainter than the 5th percentile of real ones; of real ones it is 5 %."""
    if not len(ours) or not len(real):
        return NONE
    below = float(np.quantile(np.abs(real.values), ERASED))
    random = np.random.default_rng(0)
    again = [(np.abs(ours.resampled(random)) < below).mean() for _ in range(RESAMPLES)]
    value = (np.abs(ours.values) < below).mean()
    return Estimate(float(value), *map(float, np.quantile(again, INTERVAL)))
