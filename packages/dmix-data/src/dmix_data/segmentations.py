"""COCO's segmentations as masks, and masks as run lengths: polygons, and run lengths as numbers or text."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Pixels, Size

FURTHEST = 1_000_000
"""The largest coordinate of a polygon, in pixels."""
DIGITS = 7
"""The most characters of a number in text: 35 bits, and counts have 32."""


def mask_of(segmentation: Any, size: Size) -> Pixels:
    """The mask (h, w) of a segmentation as JSON has it, 255 inside.

    Raises:
        ValueError: it is none, or not one of a picture of this size.
    """
    if isinstance(segmentation, list):
        return polygons(segmentation, size)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError("neither a list of polygons nor run lengths with size and counts")
    if segmentation["size"] != [*size]:
        raise ValueError(f"run lengths of the size {segmentation['size']!r:.40}, not {[*size]}")
    return run_lengths(segmentation["counts"], size)


def polygons(parts: Iterable[Sequence[float]], size: Size) -> Pixels:
    """The union of polygons [x1, y1, x2, y2, ...] as a mask (h, w): the pixels whose centres lie inside.

    Raises:
        ValueError: a part is no polygon.
    """
    mask = np.zeros(size, np.uint8)
    for part in parts:
        _fill(mask, _corners(part))
    return mask


def _corners(part: Any) -> NDArray[np.float64]:
    if not isinstance(part, list) or not all(type(each) in (int, float) for each in part):
        raise ValueError(f"a polygon {part!r:.40}; expected a list of numbers")
    if len(part) < 6 or len(part) % 2:
        raise ValueError(f"a polygon of {len(part)} numbers")
    if not all(abs(each) <= FURTHEST for each in part):  # not so for NaN either
        raise ValueError(f"a polygon with coordinates beyond {FURTHEST}")
    return np.array(part, np.float64).reshape(-1, 2)


def _fill(mask: Pixels, corners: NDArray[np.float64]) -> None:
    """Fill a polygon: a centre is inside if an odd number of edges lies left of it."""
    (left, top), (right, bottom) = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    left, top = max(left, 0), max(top, 0)
    window = mask[top : max(bottom, 0), left : max(right, 0)]
    height, width = window.shape
    crossings = np.zeros((height, width + 1), bool)  # where a row passes an edge; in the last column, outside
    for one, other in zip(corners, np.roll(corners, -1, 0), strict=True):
        (x1, y1), (x2, y2) = (one, other) if one[1] < other[1] else (other, one)  # there and back crosses the same
        if y1 == y2:
            continue
        first, last = np.clip(np.ceil(np.array([y1, y2]) - 0.5).astype(int) - top, 0, height)
        rows = np.arange(first, last)
        x = x1 + (rows + top + 0.5 - y1) / (y2 - y1) * (x2 - x1)
        crossings[rows, np.clip(np.ceil(x - 0.5).astype(int) - left, 0, width)] ^= True
    window[np.logical_xor.accumulate(crossings, axis=1)[:, :width]] = 255


def run_lengths(counts: str | list[int], size: Size) -> Pixels:
    """A mask (h, w) of the lengths of its runs, column by column, the first of them outside.

    Raises:
        ValueError: they are no lengths, or do not add up to the mask's pixels.
    """
    pixels = size[0] * size[1]
    runs = uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int for run in runs):
        raise ValueError(f"run lengths {runs!r:.40}; expected whole numbers")
    if min(runs, default=0) < 0 or sum(runs) != pixels:  # exact, however large they are
        raise ValueError(f"runs of {sum(runs)!s:.40} pixels for {size[1]}x{size[0]}")
    values = (np.arange(len(runs)) % 2 * 255).astype(np.uint8)
    return np.repeat(values, runs).reshape(size, order="F")


def uncompressed(text: str) -> list[int]:
    """Run lengths from text, in time that is linear in its length.

    A character has 5 bits of a number, the least first, and one that shows whether more follow; the last bit of all is
    the sign. From the fourth number on it is the difference to the one before the last.

    Raises:
        ValueError: another character, a number of more than 35 bits, or text that breaks off.
    """
    codes = np.frombuffer(text.encode(errors="replace"), np.uint8).astype(np.int64) - 48
    strange = np.flatnonzero((codes < 0) | (codes > 63))
    if len(strange):
        raise ValueError(f"the character {chr(codes[strange[0]] + 48)!r} in run lengths")
    if not len(codes):
        return []
    if codes[-1] & 32:
        raise ValueError("run lengths that break off")
    last = np.flatnonzero(codes < 32)
    first = np.concatenate([[0], last[:-1] + 1])
    digits = last - first + 1
    if digits.max() > DIGITS:
        raise ValueError(f"a run length of {digits.max()} characters")
    place = np.arange(len(codes)) - np.repeat(first, digits)
    runs = np.add.reduceat((codes & 31) << (5 * place), first)
    runs -= np.where(codes[last] & 16, 1 << (5 * digits), 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    found: list[int] = runs.tolist()
    return found


def encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The run lengths of a mask (h, w) as JSON has them: {"size": [h, w], "counts": text}; `mask_of` is the inverse."""
    return {"size": [*mask.shape], "counts": compressed(lengths_of(mask))}


def lengths_of(mask: NDArray[np.bool_]) -> list[int]:
    """The lengths of a mask's runs, column by column, the first of them outside."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    found: list[int] = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return found


def compressed(runs: Sequence[int]) -> str:
    """Run lengths as text; `uncompressed` is the inverse."""
    return "".join(_digits(run - runs[place - 2] if place > 2 else run) for place, run in enumerate(runs))


def _digits(number: int) -> str:
    text = ""
    while True:
        digit, number = number & 31, number >> 5
        if number == (-1 if digit & 16 else 0):
            return text + chr(digit + 48)
        text += chr(digit + 32 + 48)
