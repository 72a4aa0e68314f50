"""Parts of a mask that hold several touching objects, split where they are narrow."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .components import grown, label


def split(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.intp]:
    """Number the touching parts of a mask, those split that fall apart when they are eroded.

    The pieces of a part are grown back within it until they meet, so that every pixel of the mask has an owner. What
    is not narrow anywhere, such as cars of which one covers much of the other, stays one object; so does a part of
    which erosion leaves nothing.

    Args:
        mask: (H, W).
        pixels: how deep to erode; places of up to twice this width come apart.

    Returns:
        (H, W), the number of the object that owns the pixel; 0 for none.
    """
    parts, cores = label(mask), label(_eroded(mask, pixels))
    found, first = parts.copy(), parts.max() + 1
    for part in _parts_of_several(parts, cores):
        rows, columns = np.nonzero(parts == part)
        window = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        inside = parts[window] == part
        pieces = _filled(np.where(inside, cores[window], 0), inside)
        found[window][inside] = first + pieces[inside]
    return np.unique(found, return_inverse=True)[1].reshape(mask.shape) + (0 if (found == 0).any() else 1)


def falling_apart(mask: NDArray[np.bool_], pixels: int) -> int:
    """How many touching parts of a mask (H, W) `split` splits."""
    return len(_parts_of_several(label(mask), label(_eroded(mask, pixels))))


def _eroded(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The mask without its outermost pixels; where the picture ends it is taken to go on."""
    return ~grown(~mask, 2 * pixels + 1)[pixels:-pixels, pixels:-pixels]


def _parts_of_several(parts: NDArray[np.intp], cores: NDArray[np.intp]) -> list[int]:
    """The parts in which several cores lie."""
    inside = cores > 0
    owners = np.unique(np.stack([parts[inside], cores[inside]]), axis=1)[0]
    return np.flatnonzero(np.bincount(owners) > 1).tolist()


def _filled(pieces: NDArray[np.intp], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Pieces grown by one pixel at a time within a connected mask, until they fill it; higher numbers go first."""
    found = pieces.astype(np.int32)
    while (free := mask & (found == 0)).any():
        near = np.asarray(Image.fromarray(found).filter(ImageFilter.MaxFilter(3)))
        found = np.where(free, near, found)
    return found
