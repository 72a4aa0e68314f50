"""The hash of a picture's centre: 256 bits by which a crop of it is found, wherever up to a fifth was cut away.

A picture is shrunk to 40 x 40 grey pixels; each bit states the sign of one of the 16 x 16 lowest frequencies of the
discrete cosine transform of the 24 x 24 in the middle. A crop that leaves four fifths of the width and of the height
still shows that middle. So a picture that is asked about is shrunk to 32, 34, ... 40 pixels across and down, the sizes
at which the middle would be 24 again, and each window of 24 x 24 is compared.
"""

import itertools
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GRID, SIDE, KEPT = 40, 24, 16
BITS = KEPT * KEPT
SCALES = range(GRID * 4 // 5, GRID + 1, 2)
CHUNK = 1000  # hashes that are compared at a time

Signs = NDArray[np.float32]


class Nearest(NamedTuple):
    """The hash that is nearest to a window: its place among those compared, and in how many of 256 bits it differs."""

    place: int
    distance: int


def centre_hash(picture: Image.Image) -> str:
    """The hash of a picture's centre as 64 hexadecimal digits."""
    margin = (GRID - SIDE) // 2
    middle = _shrunk(picture, GRID, GRID)[margin : margin + SIDE, margin : margin + SIDE]
    return np.packbits(_signs(middle[None])[0] > 0).tobytes().hex()


def as_signs(hashes: Sequence[str]) -> Signs:
    """Hashes (N,) as signs (N, 256), for `nearest`."""
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, BITS // 8)
    return _as_signs(np.unpackbits(packed, axis=1) > 0)


def nearest(picture: Image.Image, hashes: Signs) -> Nearest:
    """The hash (of N >= 1) that differs least from that of any window of a picture."""
    windows = np.concatenate([_windows(picture, *size) for size in itertools.product(SCALES, SCALES)])
    chunks = (hashes[start : start + CHUNK] for start in range(0, len(hashes), CHUNK))
    agreement = np.concatenate([(windows @ chunk.T).max(0) for chunk in chunks])
    place = int(agreement.argmax())
    return Nearest(place, round((BITS - float(agreement[place])) / 2))


def _windows(picture: Image.Image, width: int, height: int) -> Signs:
    shrunk = _shrunk(picture, width, height)
    return _signs(np.lib.stride_tricks.sliding_window_view(shrunk, (SIDE, SIDE)).reshape(-1, SIDE, SIDE))


def _shrunk(picture: Image.Image, width: int, height: int) -> NDArray[np.float32]:
    return np.asarray(picture.convert("L").resize((width, height), Image.Resampling.LANCZOS), np.float32)


def _signs(windows: NDArray[np.float32]) -> Signs:
    """The signs (N, 256) of the lowest frequencies of windows (N, 24, 24)."""
    return _as_signs((_cosines() @ windows @ _cosines().T).reshape(-1, BITS) > 0)


def _as_signs(bits: NDArray[np.bool_]) -> Signs:
    return np.where(bits, np.float32(1), np.float32(-1))


@cache
def _cosines() -> NDArray[np.float32]:
    """The lowest frequencies (KEPT, SIDE) of the DCT-II, without its constant factors, which do not change signs."""
    frequency, place = np.mgrid[:KEPT, :SIDE]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE)).astype(np.float32)
