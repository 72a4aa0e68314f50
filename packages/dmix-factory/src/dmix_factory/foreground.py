"""The foreground of photographs: an object before a plain background, as inspection takes them."""

import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmix_core.image_files import read_pixels

from .generate_config import ConfigError
from .labels import holes, without_specks

Mask = NDArray[np.bool_]
Levels = NDArray[np.uint8]

SEPARATE = 0.7
"""The least share of the variance that lies between the two sides of the threshold. Noise without any object has 0.64
to 0.68 (its distances from the median are half-normal), an even ramp of light 0.75, objects before a plain background
more than 0.8."""
AT_BORDER = 0.5
"""The foreground's share of the border over that of the picture, at most. What fills a texture or a ramp of light
reaches the border as often as the middle."""
SPECK = 0.01
"""Of the largest part: smaller ones are dust."""


class ForegroundError(ConfigError):
    """A photograph in which no foreground is told from a background."""


def foreground_of(path: str | Path) -> Mask:
    """The foreground of a photograph, (H, W); found once in a process, and kept as some hundred bytes.

    Each pixel is as far from the background as its colour is from the median colour of the picture's border, in the
    channel where they differ most; those further away than Otsu's threshold (1979) of these distances are the
    foreground. Holes are filled, since they are the object's own dark or bright places, and specks taken away. So it
    does not matter whether objects are brighter or darker, and there is nothing to set. Otsu's threshold is
    scikit-image's, which dmix-eval measures with already; of what finds foregrounds elsewhere, GrabCut (OpenCV) wants a
    rectangle to begin with, and networks want weights.

    Raises:
        ForegroundError: there is none, and why.
        ImageError: the photograph cannot be read.
    """
    packed = _packed(str(path))
    bits = np.frombuffer(zlib.decompress(packed.bits), np.uint8)
    height, width = packed.size
    return np.unpackbits(bits, count=height * width).reshape(packed.size).astype(bool)


def find_foreground(pixels: Levels, name: str) -> Mask:
    """The foreground of a picture (H, W, C); rule and errors as for `foreground_of`."""
    from skimage.filters import threshold_otsu  # takes a second to import

    distances = _distances(pixels)
    if not distances.any():
        raise _none(name, "all pixels have one colour")
    far = distances > threshold_otsu(distances)
    if _separation(distances, far) < SEPARATE:
        raise _none(name, "its colours do not fall into two kinds")
    if _border(far).mean() > AT_BORDER * far.mean():
        raise _none(name, "its border is not plain")
    return _solid(far)


class _Packed(NamedTuple):
    size: tuple[int, int]
    bits: bytes


@cache
def _packed(path: str) -> _Packed:
    mask = find_foreground(read_pixels(path), path)
    height, width = mask.shape
    return _Packed((height, width), zlib.compress(np.packbits(mask).tobytes()))


def _distances(pixels: Levels) -> Levels:
    """How far each pixel (H, W) is from the median colour of the border, 0..255."""
    ground = np.median(_border(pixels), axis=0)
    return np.abs(pixels - ground).max(-1).astype(np.uint8)


def _border(values: NDArray) -> NDArray:
    """The outermost pixels of a picture (H, W, ...), (N, ...)."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _separation(values: Levels, upper: Mask) -> float:
    """The share of the variance of values that lies between two parts of them, 0..1."""
    share = upper.mean()
    between = share * (1 - share) * (values[upper].mean() - values[~upper].mean()) ** 2
    return float(between / values.var())


def _solid(mask: Mask) -> Mask:
    filled = mask | holes(mask)
    return without_specks(filled, SPECK)


def _none(name: str, why: str) -> ForegroundError:
    return ForegroundError(
        f"No foreground is found in {name!r}: {why}. Expected an object before a plain background; leave the "
        "photograph out, place objects by `roi` or `boxes`, or anywhere by `place` random."
    )
