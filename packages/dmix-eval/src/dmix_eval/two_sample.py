"""Can it be told from real? A classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017) over whole groups left out."""

import warnings
from collections.abc import Sequence

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


def told_apart(ours: Sequence[Specimen], real: Sequence[Specimen], of_objects: bool) -> Estimate:
    """The AUROC of a logistic regression that has seen neither the groups nor the pictures that it judges.

    0.5: it cannot tell them apart, 1: always. The interval is of resampled groups.
    """
    features = object_features if of_objects else background_features
    if min(len(ours), len(real)) < 2:
        return NONE
    values = np.stack([features(each) for each in (*ours, *real)])
    labels = np.repeat([1, 0], [len(ours), len(real)])
    groups = np.array([each.group for each in (*ours, *real)])
    return _interval(_said(values, labels, groups), labels, groups)


def _said(values: NDArray, labels: NDArray, groups: NDArray) -> NDArray[np.float64]:
    """What a classifier that was trained without a group says of it."""
    folds = StratifiedGroupKFold(min(FOLDS, len(np.unique(groups)), int(np.bincount(labels).min())))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # folds that lack a class, as few groups have them
        said = cross_val_predict(classifier, values, labels, groups=groups, cv=folds, method="decision_function")
    return np.asarray(said)


def _interval(said: NDArray, labels: NDArray, groups: NDArray) -> Estimate:
    random, names = np.random.default_rng(0), np.unique(groups)
    members = {name: np.flatnonzero(groups == name) for name in names}
    again = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[name] for name in random.choice(names, len(names))])
        if 0 < labels[drawn].sum() < len(drawn):
            again.append(roc_auc_score(labels[drawn], said[drawn]))
    return Estimate(float(roc_auc_score(labels, said)), *map(float, np.quantile(again, INTERVAL)))


def real_told_apart(real: Sequence[Specimen], of_objects: bool) -> Estimate:
    """The same test between halves of the real groups: the mean, and the lowest and highest."""
    found = [told_apart(*halves(real, seed), of_objects).value for seed in range(HALVES)]
    return Estimate(float(np.mean(found)), min(found), max(found))
