"""What may be wrong with a sample, found without a network: flags for objects."""

from collections.abc import Iterator
from types import MappingProxyType

import numpy as np

from dmix_core.geometry import Box, Size
from dmix_data.components import label

from .labels import holes
from .shots import Shot
from .traits import Limits, traits_of, unusual

NOTHING: Limits = MappingProxyType({})

FLAGS = {
    "empty": "nothing of it shows",
    "border": "it reaches the border of its box, where it may be cut off",
    "pieces": "it has several pieces",
    "speckle": "one of its pieces is a speck of fewer than 4 pixels",
    "holes": "it has holes",
    "faint": "it stands out by less than `min_contrast`",
    "unchanged": "most of its mask's pixels differ from the twin's by less than `min_contrast`",
    "elsewhere": "most of what the object changed lies outside of its mask",
    "small": "it has fewer pixels than is usual of real objects",
    "large": "it has more pixels than is usual of real objects",
    "dark": "it is darker, or less bright, beside its surroundings than real objects are",
    "bright": "it is brighter, or less dark, beside its surroundings than real objects are",
    "smooth": "its outline is shorter for its area than those of real objects",
    "ragged": "its outline is longer for its area than those of real objects",
    "hollow": "it fills less of its convex hull than real objects do",
    "convex": "it fills more of its convex hull than real objects do",
    "round": "it is rounder than real objects are",
    "elongated": "it is more elongated than real objects are",
}
"""Every flag, and what it means. From "small" on they need real data (`dmix_factory.traits`), "unchanged" and
"elsewhere" a twin."""
SPECK = 4
"""Pixels of a piece, below which it is no part of an object: `dmix train` takes no such object for one either."""
CHANGE = 10 / 127.5
"""How much a pixel of the composite differs from the twin's to count as changed: ten grey levels."""


def flags_of(shot: Shot, value: int, min_contrast: float, usual: Limits = NOTHING) -> tuple[str, ...]:
    """What is wrong with an object of a sample, as keys of FLAGS.

    Args:
        min_contrast: the least contrast, in grey levels 0..255, below which it is "faint".
        usual: between which values the traits of real objects lie.
    """
    shown = shot.shown(value).numpy()
    if not shown.any():
        return ("empty",)
    contrast = shot.contrast(value)
    flags = [*_shape_flags(shown, shot.boxes[value - 1], shot.size), *_twin_flags(shot, value, min_contrast)]
    if contrast is not None and abs(contrast) < min_contrast:
        flags.append("faint")
    return (*flags, *(unusual(traits_of(shown, contrast), usual) if usual else ()))


def _shape_flags(shown: np.ndarray, box: Box, size: Size) -> Iterator[str]:
    areas = np.bincount(label(shown).ravel())[1:]
    if _at_border(shown, box, size):
        yield "border"
    if len(areas) > 1:
        yield "pieces"
    if len(areas) > 1 and areas.min() < SPECK:
        yield "speckle"
    if holes(shown).any():
        yield "holes"


def _twin_flags(shot: Shot, value: int, min_contrast: float) -> Iterator[str]:
    """Whether mask and change agree."""
    if shot.twin is None:
        return
    shown, change = shot.shown(value), shot.boxes[value - 1].crop(shot.image - shot.twin).abs().mean(0)
    if 2 * int((change[shown] < min_contrast / 127.5).sum()) > int(shown.sum()):
        yield "unchanged"
    changed = change > CHANGE
    if 2 * int(changed[shown].sum()) < int(changed.sum()):
        yield "elsewhere"


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
