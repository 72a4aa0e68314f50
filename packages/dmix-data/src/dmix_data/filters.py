"""Objects that are left out: by their shape, at the border of their picture, behind others."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmix_core.geometry import Box

from .components import grown
from .options import FILTERS, DataOptions


class Figure(NamedTuple):
    """How an object lies in its picture.

    Attributes:
        aspect: its width over its height.
        truncated: whether it touches the border of its picture, which may cut it.
        occlusion: the share of its outline that other objects touch, which may cover it; 0 where the mask joins them.
    """

    aspect: float
    truncated: bool
    occlusion: float


def figure_of(labels: NDArray[np.integer], number: int, box: Box) -> Figure:
    """How the object of this number and box lies among the objects (H, W) of its picture."""
    height, width = labels.shape
    right, bottom = box.x + box.width, box.y + box.height
    truncated = box.x == 0 or box.y == 0 or right == width or bottom == height
    near = labels[max(0, box.y - 1) : bottom + 1, max(0, box.x - 1) : right + 1]
    mine = near == number
    outline = mine & _widened(~mine)
    touched = outline & _widened((near > 0) & ~mine)
    return Figure(box.width / box.height, truncated, float(touched.sum() / max(1, outline.sum())))


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and all pixels beside it."""
    return grown(mask, 3)[1:-1, 1:-1]


def filters(options: DataOptions) -> bool:
    """Whether any object is left out by its figure."""
    return bool(options.model_dump(include={*FILTERS}, exclude_defaults=True))


def why_left_out(figure: Figure, options: DataOptions) -> str | None:
    """The first filter that leaves such an object out, in words; None where it is taken."""
    reasons = {
        "with a smaller aspect than min_aspect": figure.aspect < options.min_aspect,
        "with a larger aspect than max_aspect": figure.aspect > options.max_aspect,
        "truncated by the border of their picture": figure.truncated and options.skip_truncated,
        "with a larger occlusion than max_occlusion": figure.occlusion > options.max_occlusion,
    }
    return next((why for why, holds in reasons.items() if holds), None)
