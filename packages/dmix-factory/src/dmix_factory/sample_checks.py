"""What may be wrong with a sample, found without a network: flags for objects."""

from collections.abc import Iterator

import numpy as np

from dmix_core.geometry import Box, Size

from .labels import holes, pieces
from .shots import Shot

FLAGS = {
    "empty": "nothing of it shows",
    "border": "it reaches the border of its box, where it may be cut off",
    "pieces": "it has several pieces",
    "holes": "it has holes",
    "faint": "it stands out by less than `min_contrast`",
    "small": "it has fewer pixels than 99 in 100 real objects",
    "large": "it has more pixels than 99 in 100 real objects",
    "unchanged": "most of what the object changed lies outside of its mask",
}
"""Every flag, and what it means."""
CHANGE = 10 / 127.5
"""How much a pixel of the composite differs from the twin's to count as changed: ten grey levels."""


def flags_of(shot: Shot, value: int, min_contrast: float, areas: tuple[float, float] | None = None) -> tuple[str, ...]:
    """What is wrong with an object of a sample, as keys of FLAGS.

    Args:
        min_contrast: the least contrast, in grey levels 0..255, below which it is "faint".
        areas: the usual ones of real objects, in pixels; None: they are not known.
    """
    return (*_flags(shot, value, min_contrast), *_area_flags(int(shot.shown(value).sum()), areas))


def _area_flags(area: int, areas: tuple[float, float] | None) -> Iterator[str]:
    if area and areas:
        if area < areas[0]:
            yield "small"
        if area > areas[1]:
            yield "large"


def _flags(shot: Shot, value: int, min_contrast: float) -> Iterator[str]:
    shown = shot.shown(value).numpy()
    if not shown.any():
        yield "empty"
        return
    if _at_border(shown, shot.boxes[value - 1], shot.size):
        yield "border"
    if pieces(shown) > 1:
        yield "pieces"
    if holes(shown).any():
        yield "holes"
    contrast = shot.figures(value).contrast
    if contrast is not None and contrast < min_contrast:
        yield "faint"
    if _changes_elsewhere(shot, value):
        yield "unchanged"


def _at_border(shown: np.ndarray, box: Box, size: Size) -> bool:
    """Whether it touches a side of its box that is not a side of the canvas."""
    height, width = size
    sides = [
        (box.y > 0, shown[0]),
        (box.y + box.height < height, shown[-1]),
        (box.x > 0, shown[:, 0]),
        (box.x + box.width < width, shown[:, -1]),
    ]
    return any(inner and side.any() for inner, side in sides)


def _changes_elsewhere(shot: Shot, value: int) -> bool:
    if shot.twin is None:
        return False
    change = (shot.boxes[value - 1].crop(shot.image - shot.twin)).abs().mean(0) > CHANGE
    inside = change & shot.shown(value)
    return bool(change.any()) and 2 * int(inside.sum()) < int(change.sum())
