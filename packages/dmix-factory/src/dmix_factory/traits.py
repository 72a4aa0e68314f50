"""Traits of single objects, and which values of them are usual among real ones."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmix_data.shapes import roughness_of

FEWEST = 5
"""Real objects, from which limits are taken; fewer show too little of what is usual."""
TAIL = 0.01
"""The share of real objects that lie beyond a limit on each side, before it is widened."""
WIDENING = 3.0
"""Limits of n objects are widened by 3 / n of their distance on each side. A further object of the same kind lies
beyond the extremes of n objects with a probability of 2 / (n + 1), whatever their distribution, so that few objects
would turn down much that is right: of five a third. Widened so, in simulations with normal, uniform and exponential
traits at most 9 in 100 are turned down by five objects, 6 by ten, 4 from twenty on, and 2 to 3 by hundreds
(`tests/factory/test_traits.py`)."""


class Traits(NamedTuple):
    """What is measured of an object.

    Attributes:
        area: its pixels.
        contrast: how much brighter it is than its surroundings, in grey levels; None where that is undefined.
        roughness: the length of its outline over that of a square of the same area.
        solidity: its area over that of its convex hull, 0..1.
        eccentricity: of the ellipse of equal moments, 0 for a disc and 1 for a line.
    """

    area: int
    contrast: float | None
    roughness: float
    solidity: float
    eccentricity: float


Limits = Mapping[str, tuple[float, float]]
"""The least and the largest usual value of traits, by their names."""

FLAGS = {
    "area": ("small", "large"),
    "contrast": ("dark", "bright"),
    "roughness": ("smooth", "ragged"),
    "solidity": ("hollow", "convex"),
    "eccentricity": ("round", "elongated"),
}
"""What is said of an object whose trait is below or above its limits."""


def traits_of(mask: NDArray[np.bool_], contrast: float | None) -> Traits:
    """The traits of an object that shows in a mask (h, w)."""
    from skimage.measure import regionprops  # takes a second to import

    (found,) = regionprops(mask.astype(np.uint8))
    figures = roughness_of(mask), float(found.solidity), float(found.eccentricity)
    return Traits(int(mask.sum()), contrast, *(round(figure, 4) for figure in figures))


def limits_of(objects: Sequence[Traits]) -> Limits:
    """Between which values the traits of objects like these usually lie; none of fewer than `FEWEST`.

    These are the quantiles `TAIL` and 1 - `TAIL`, widened by `WIDENING`; of areas, which are spread by factors rather
    than by sums, those of their logarithms.
    """
    columns = {name: [value for value in values if value is not None] for name, values in _columns(objects)}
    return {name: _limits(name, values) for name, values in columns.items() if len(values) >= FEWEST}


def unusual(traits: Traits, limits: Limits) -> Iterator[str]:
    """The flags of an object."""
    for name, value in traits._asdict().items():
        if value is None or name not in limits:
            continue
        (low, high), (below, above) = limits[name], FLAGS[name]
        if value < low:
            yield below
        if value > high:
            yield above


def _columns(objects: Sequence[Traits]) -> Iterator[tuple[str, list[float | None]]]:
    return ((name, [getattr(each, name) for each in objects]) for name in Traits._fields)


def _limits(name: str, values: Sequence[float]) -> tuple[float, float]:
    scaled = np.log(values) if name == "area" else np.asarray(values, float)
    low, high = np.quantile(scaled, (TAIL, 1 - TAIL)).tolist()
    margin = WIDENING / len(values) * (high - low)
    low, high = low - margin, high + margin
    return (math.exp(low), math.exp(high)) if name == "area" else (low, high)
