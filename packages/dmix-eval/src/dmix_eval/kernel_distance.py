"""KID: the kernel distance of a set from real pictures, on features that are named beside it."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics.image.kid import KernelInceptionDistance

from .features import OnnxFeatures
from .random_features import RandomFeatures
from .set_distances import Estimate
from .specimens import Specimen, halves

SUBSETS = 100
SEED = 0

Features = RandomFeatures | OnnxFeatures
"""A module from windows (B, 1, h, w) uint8 to (B, num_features), and its name."""


def kid(ours: Sequence[Specimen], real: Sequence[Specimen], features: Features) -> Estimate:
    """torchmetrics' kernel distance over random subsets of half of the smaller side; the interval is two deviations."""
    size = max(2, min(len(ours), len(real)) // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features kept in memory
        metric = KernelInceptionDistance(features, subsets=SUBSETS, subset_size=size)
    metric.update(_batch(real), real=True)
    metric.update(_batch(ours), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        mean, deviation = (float(value) for value in metric.compute())
    return Estimate(mean, mean - 2 * deviation, mean + 2 * deviation)


def real_kid(real: Sequence[Specimen], features: Features) -> Estimate:
    """The same between halves of the real groups."""
    return kid(*halves(real, SEED), features)


def _batch(specimens: Sequence[Specimen]) -> Tensor:
    return torch.from_numpy(np.stack([each.image.round().astype(np.uint8) for each in specimens]))[:, None]
