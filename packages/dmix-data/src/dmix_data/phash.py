"""A perceptual hash: 64 bits that stay nearly the same when a picture is scaled, encoded again or made lighter.

The picture is shrunk to 32 x 32 grey pixels; of its discrete cosine transform the 8 x 8 lowest frequencies are kept;
each bit states whether one of them lies above their median (Zauner, "Implementation and benchmarking of perceptual
image hash functions", 2010). `imagehash.phash` gives the same bits.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE, KEPT = 32, 8
BITS = KEPT * KEPT
Hashes = NDArray[np.uint64]


def phash(picture: Image.Image) -> str:
    """The hash of a picture as 16 hexadecimal digits."""
    grey = np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float64)
    lowest = _cosines() @ grey @ _cosines().T
    bits = (lowest > np.median(lowest)).ravel()
    return np.packbits(bits).tobytes().hex()


@cache
def _cosines() -> NDArray[np.float64]:
    """The lowest frequencies (KEPT, SIDE) of the DCT-II, without its constant factors, which do not move the median."""
    frequency, place = np.mgrid[:KEPT, :SIDE]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE))


def as_numbers(hashes: Sequence[str]) -> Hashes:
    """Hashes (N,) as numbers, for `distances`."""
    return np.array([int(each, 16) for each in hashes], np.uint64)


def distances(one: str, others: Hashes) -> NDArray[np.intp]:
    """In how many of 64 bits a hash differs from each of the others (N,)."""
    differing = others ^ np.uint64(int(one, 16))
    return np.unpackbits(differing.view(np.uint8).reshape(-1, 8), axis=1).sum(1, dtype=np.intp)
