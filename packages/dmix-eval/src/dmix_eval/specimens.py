"""Single objects in windows, real, pasted and generated alike, as their figures are measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .detector_windows import Pasted, cut
from .photographs import GeneratedSet, Mask, Photograph

SPECK = 16  # pixels; real objects of fewer are noise, as by DataOptions.min_area


@dataclass(frozen=True, eq=False)
class Specimen:
    """An object in a window (h, w).

    Attributes:
        name: of its picture.
        group: pictures of one thing share it.
        image: grey values 0..255.
        mask: the object's pixels; other objects are in `image` alone.
        twin: the window of the same picture without objects; None where there is none.
    """

    name: str
    group: str
    image: np.ndarray = field(repr=False)
    mask: Mask = field(repr=False)
    twin: np.ndarray | None = field(default=None, repr=False)


def specimens(photographs: Sequence[Photograph], side: int) -> list[Specimen]:
    """Every spot of every picture in a window around its middle; what is larger is seen in part."""
    return [each for photo in photographs for each in _of(photo, side)]


def _of(photo: Photograph, side: int) -> list[Specimen]:
    found = []
    for spot in photo.spots:
        mine = np.zeros_like(photo.mask)
        mine[tuple(spot.T)] = True
        window = cut(replace(photo, mask=mine), middle(spot), side)
        found.append(Specimen(photo.name, photo.group, window.image, window.mask))
    return found


def middle(spot: np.ndarray) -> list[int]:
    """The pixel in the middle of a spot's box."""
    return [int(each) for each in (spot.min(0) + spot.max(0) + 1) // 2]


def real_specimens(photographs: Sequence[Photograph], side: int) -> list[Specimen]:
    """The objects of real pictures, without specks."""
    return [each for each in specimens(photographs, side) if each.mask.sum() >= SPECK]


def generated_specimens(found: GeneratedSet, side: int) -> list[Specimen]:
    """The objects of a set, with their twins where it has some."""
    result: list[Specimen] = []
    for number, photo in enumerate(found.composites):
        mine = _of(photo, side)
        if twin := found.twins.get(number):
            windows = [cut(twin, middle(spot), side) for spot in photo.spots]
            mine = [replace(each, twin=window.image) for each, window in zip(mine, windows, strict=True)]
        result += mine
    return result


def pasted_specimens(photographs: Sequence[Photograph], side: int, count: int) -> list[Specimen]:
    """Real objects pasted into normal pictures, in turn; the group is the object's."""
    random = np.random.default_rng(0)
    normal = [each for each in photographs if each.normal]
    defects = [each for each in photographs if each.spots]
    result = []
    for number in range(count):
        photo = defects[number % len(defects)]
        window = Pasted([photo], normal, side).window(random)
        result.append(Specimen(photo.name, photo.group, window.image, window.mask))
    return result


def backgrounds(photographs: Sequence[Photograph], side: int, count: int, seed: int = 0) -> list[Specimen]:
    """Windows without any object, from pictures in random order; fewer where pictures are full of objects."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(photographs))
    result: list[Specimen] = []
    for number in range(4 * count):
        photo = photographs[order[number % len(order)]]
        window = cut(photo, random.integers(photo.image.shape).tolist(), side)
        if not window.mask.any() and len(result) < count:
            result.append(Specimen(photo.name, photo.group, window.image, window.mask))
    return result


def halves(found: Sequence[Specimen], seed: int) -> tuple[list[Specimen], list[Specimen]]:
    """Two parts of about the same number of groups, no group in both."""
    groups = sorted({each.group for each in found})
    chosen = {groups[number] for number in np.random.default_rng(seed).permutation(len(groups))[: len(groups) // 2]}
    return [each for each in found if each.group in chosen], [each for each in found if each.group not in chosen]
