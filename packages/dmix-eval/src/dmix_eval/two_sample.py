"""Can it be told from real? A classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017) over whole groups left out."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import sobel, uniform_filter
from skimage.feature import local_binary_pattern
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .object_figures import FIGURES, OF_TWINS, spectrum
from .set_distances import INTERVAL, NONE, RESAMPLES, Estimate
from .specimens import Specimen, halves

FOLDS = 10  # at most; with fewer groups each is left out alone
HALVES = 5
PATTERNS = 10  # uniform local binary patterns of eight neighbours


def object_features(specimen: Specimen) -> NDArray[np.float64]:
    """Statistics of a window and of the object in it; none of them needs a twin."""
    own = [figure.of(specimen) for name, figure in FIGURES.items() if name not in OF_TWINS]
    return np.concatenate([np.nan_to_num(own), background_features(specimen)])


def background_features(specimen: Specimen) -> NDArray[np.float64]:
    """Grey values, gradients, fine structure, spectrum and local binary patterns of a window."""
    image = specimen.image.astype(float)
    gradient = np.hypot(sobel(image, 0), sobel(image, 1))
    fine = np.abs(image - uniform_filter(image, 3))
    pattern = local_binary_pattern(image.astype(np.uint8), 8, 1, "uniform")
    shares = np.bincount(pattern.astype(int).ravel(), minlength=PATTERNS) / pattern.size
    grey = [f(each) for each in (image, gradient, fine) for f in (np.mean, np.std)]
    return np.concatenate([grey, spectrum(image), shares])


class Judged(NamedTuple):
    """What was said of each specimen, whether it is ours, and its group."""

    said: NDArray[np.float64]
    ours: NDArray[np.int_]
    groups: NDArray[np.str_]

    @property
    def auroc(self) -> float:
        return float(roc_auc_score(self.ours, self.said))

    @property
    def interval(self) -> tuple[float, float]:
        """Of resampled groups."""
        random, names = np.random.default_rng(0), np.unique(self.groups)
        members = {name: np.flatnonzero(self.groups == name) for name in names}
        again = []
        for _ in range(RESAMPLES):
            drawn = np.concatenate([members[name] for name in random.choice(names, len(names))])
            if 0 < self.ours[drawn].sum() < len(drawn):
                again.append(roc_auc_score(self.ours[drawn], self.said[drawn]))
        low, high = map(float, np.quantile(again, INTERVAL))
        return low, high


def told_apart(ours: Sequence[Specimen], real: Sequence[Specimen], of_objects: bool) -> Estimate:
    """The AUROC of a logistic regression that has seen neither the groups nor the pictures that it judges.

    0.5: it cannot tell them apart, 1: always. The interval is of resampled groups.
    """
    judged = _judged(ours, real, of_objects)
    return Estimate(judged.auroc, *judged.interval) if judged else NONE


def real_told_apart(real: Sequence[Specimen], of_objects: bool) -> Estimate:
    """The same test between halves of the real groups: the mean, and the lowest and highest."""
    every = [_judged(*halves(real, seed), of_objects) for seed in range(HALVES)]
    found = [judged.auroc if judged else NONE.value for judged in every]
    return Estimate(float(np.mean(found)), min(found), max(found))


def _judged(ours: Sequence[Specimen], real: Sequence[Specimen], of_objects: bool) -> Judged | None:
    """What classifiers that were trained without a group say of it; None where there are too few specimens."""
    if min(len(ours), len(real)) < 2:
        return None
    features = object_features if of_objects else background_features
    values = np.stack([features(each) for each in (*ours, *real)])
    labels = np.repeat([1, 0], [len(ours), len(real)])
    groups = np.array([each.group for each in (*ours, *real)])
    folds = StratifiedGroupKFold(min(FOLDS, len(np.unique(groups)), int(np.bincount(labels).min())))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # folds that lack a class, as few groups have them
        said = cross_val_predict(classifier, values, labels, groups=groups, cv=folds, method="decision_function")
    return Judged(np.asarray(said), labels, groups)
