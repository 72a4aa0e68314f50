"""Parts of a mask that hold several objects, split where they are narrow."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .components import label


def split(mask: NDArray[np.bool_], necks: int) -> NDArray[np.integer]:
    """Number the touching parts of a mask, those split that fall apart when they are eroded by `necks` pixels.

    The pieces of a part are grown back within it until they meet, so that every pixel of the mask has an owner. What
    is not narrow anywhere, such as cars of which one covers much of the other, stays one object; so does a part of
    which erosion leaves nothing.

    Args:
        mask: (H, W).
        necks: in pixels; places of up to twice this width come apart.

    Returns:
        (H, W), the number of the object that owns the pixel; 0 for none.
    """
    pieces = _grown(label(_eroded(mask, necks)), mask)
    rest = mask & (pieces == 0)
    return np.where(rest, label(rest) + pieces.max(), pieces)


def _eroded(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The mask without its outermost pixels; where the picture ends it is taken to go on."""
    picture = Image.fromarray(mask.astype(np.uint8))
    for _ in range(pixels):
        picture = picture.filter(ImageFilter.MinFilter(3))
    return np.asarray(picture) > 0


def _grown(pieces: NDArray[np.integer], mask: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Pieces grown by one pixel at a time within a mask, until they fill what they reach; higher numbers go first."""
    found, before = pieces.astype(np.int32), -1
    while (free := mask & (found == 0)).sum() not in (0, before):
        before = int(free.sum())
        near = np.asarray(Image.fromarray(found).filter(ImageFilter.MaxFilter(3)))
        found = np.where(free, near, found)
    return found
