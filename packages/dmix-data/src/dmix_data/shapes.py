"""Measures of masks: their parts, holes and outlines."""

import math

import numpy as np
from numpy.typing import NDArray

from .components import label

Mask = NDArray[np.bool_]


def pieces_of(mask: Mask) -> float:
    """How many parts a mask has (8-connectivity)."""
    return float(label(mask).max(initial=0))


def holes_of(mask: Mask) -> float:
    """How many parts of the ground a mask encloses (8-connectivity)."""
    return float(label(~np.pad(mask, 1)).max(initial=0) - 1)


def roughness_of(mask: Mask) -> float:
    """The length of a mask's outline over that of a square of the same area, in edges of pixels."""
    padded = np.pad(mask, 1).astype(np.int8)
    edges = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    return float(edges / (4 * math.sqrt(max(1, mask.sum()))))
