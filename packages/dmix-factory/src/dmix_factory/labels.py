"""Labels by stated rules: small pieces are taken away, small holes are filled, and what does not show is no label."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dmix_core.geometry import Box
from dmix_core.mattes import grow
from dmix_data.components import label

Index = NDArray[np.uint8]
Mask = NDArray[np.bool_]

AROUND = 7  # pixels: finer grain than this is no visible change


@dataclass(frozen=True)
class Cleaning:
    """The rule. 0 leaves masks as they are.

    Attributes:
        min_piece: pieces of an object with fewer pixels than this are taken away; the largest one stays.
        fill_holes: holes of at most so many pixels are filled.
    """

    min_piece: int = 0
    fill_holes: int = 0

    def cleaned(self, index: Index, boxes: Sequence[Box]) -> tuple[Index, list[tuple[str, ...]]]:
        """An index (H, W) by the rule, and for each object what was done to it: "pieces-removed", "holes-filled".

        Args:
            boxes: of the objects, whose values are 1, 2, ...
        """
        index = index.copy()
        return index, [self._clean(index, value, box) for value, box in enumerate(boxes, 1)]

    def _clean(self, index: Index, value: int, box: Box) -> tuple[str, ...]:
        part = index[box.y : box.y + box.height, box.x : box.x + box.width]
        done = []
        if self.min_piece and (small := _small_pieces(part == value, self.min_piece)).any():
            part[small] = 0
            done.append("pieces-removed")
        if self.fill_holes and (small := _holes(part == value, self.fill_holes) & (part == 0)).any():
            part[small] = value
            done.append("holes-filled")
        return tuple(done)


def visible(mask: Mask, change: NDArray[np.floating], least: float) -> Mask:
    """The pixels that an object visibly changed, and what they enclose: its label by the picture.

    A changed pixel counts where the mean change of changed pixels in the 7x7 around it is at least so large. A mean,
    since a model paints new grain wherever its mask is, which changes single pixels and shows no object. Where an
    object turns from darker to brighter the mean passes through zero, so that changed pixels between those that count
    do so, too, across gaps that the window spans (a closing by it). What touches the mask is the object's, so that a
    label can grow where the picture says so.

    Args:
        mask: (h, w), the object's own.
        change: (h, w), the picture less its twin.
        least: in the units of `change`.
    """
    changed = change != 0
    means, shares = _means(np.stack([change, changed]).astype(np.float32))
    seen = changed & _closed(changed & (np.abs(means) >= least * shares))
    pieces = label(seen)
    mine = seen & np.isin(pieces, pieces[seen & mask])
    return mine | holes(mine)


def _means(fields: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each field (N, h, w) in the window around each pixel."""
    return F.avg_pool2d(torch.from_numpy(fields)[None], AROUND, 1, AROUND // 2)[0].numpy()


def _closed(mask: Mask) -> Mask:
    """The mask and its gaps that are narrower than the window."""
    pixels, inside = AROUND // 2, np.s_[AROUND:-AROUND, AROUND:-AROUND]
    grown = grow(torch.from_numpy(np.pad(mask, AROUND))[None, None].float(), pixels)
    return (grow(1 - grown, pixels) == 0)[0, 0].numpy()[inside]


def holes(mask: Mask) -> Mask:
    """The pixels that a mask encloses."""
    return _holes(mask, mask.size)


def without_specks(mask: Mask, share: float) -> Mask:
    """The mask without pieces that have less than a share of its largest one's pixels."""
    largest = int(np.bincount(label(mask).ravel())[1:].max(initial=0))
    return mask & ~_small_pieces(mask, math.ceil(share * largest))


def _small_pieces(mask: Mask, least: int) -> Mask:
    labels = label(mask)
    areas = np.bincount(labels.ravel())
    small = areas < least
    small[0] = False
    if len(areas) > 1:
        small[1 + areas[1:].argmax()] = False
    return small[labels]


def _holes(mask: Mask, most: int) -> Mask:
    """The pixels of enclosed holes of at most so many pixels; what touches the border is no hole."""
    labels = label(~mask)
    areas = np.bincount(labels.ravel())
    open_ones = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    closed = areas <= most
    closed[open_ones] = closed[0] = False
    return closed[labels]
