"""Augmentation, each kind only where it is declared to leave a picture plausible."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, field_validator

from .arrays import Pixels

Places = NDArray[np.float64]

NODES = 4
"""Of an elastic field along each side: it bends what is as large as a quarter of the crop, and leaves grain."""
TRIES = 4


class Augmentation(BaseModel):
    """What may be done to a crop; nothing by default.

    Attributes:
        flips: mirror left and right ("horizontal"), top and bottom ("vertical"), or both.
        quarter_turns: turn by 0, 90, 180 or 270 degrees; needs square crops.
        zoom: enlarge by a factor between these two (uniform in its logarithm); what a smaller crop lacks is mirrored.
        elastic: bend by a smooth random field, whose nodes are moved by so many pixels in each direction (standard
            deviation), as in Simard et al. (ICDAR 2003). Neither `zoom` nor it cuts an object that the crop holds
            whole: where the mask would newly reach a side of the crop another draw is taken, at last none.
        gain: multiply the image's values by a factor between these two (uniform in its logarithm) and clip, as other
            exposures would; the mask stays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flips: Literal["none", "horizontal", "vertical", "both"] = "none"
    quarter_turns: bool = False
    zoom: tuple[float, float] | None = None
    elastic: float = Field(0.0, ge=0, allow_inf_nan=False)
    gain: tuple[float, float] | None = None

    @field_validator("gain", "zoom")
    @classmethod
    def _positive(cls, factors: tuple[float, float] | None) -> tuple[float, float] | None:
        if factors is not None and not 0 < factors[0] <= factors[1]:
            raise ValueError("expected two factors, 0 < low <= high")
        return factors

    def __call__(self, crop: Pixels, random: np.random.Generator) -> Pixels:
        """Augment a crop (h, w, 3 + M); image and mask move together."""
        mirror = random.integers(0, 2, 2)
        if mirror[0] and self.flips in ("horizontal", "both"):
            crop = crop[:, ::-1]
        if mirror[1] and self.flips in ("vertical", "both"):
            crop = crop[::-1]
        if self.quarter_turns:
            crop = np.rot90(crop, int(random.integers(4)))
        if self.zoom or self.elastic:
            crop = self._warped(crop, random)
        return crop if self.gain is None else _expose(crop, self.gain, random)

    def _warped(self, crop: Pixels, random: np.random.Generator) -> Pixels:
        for _ in range(TRIES):
            warped = _resampled(crop, self._sources(crop.shape[0], crop.shape[1], random))
            if not (_sides(warped) & ~_sides(crop)).any():
                return warped
        return crop

    def _sources(self, height: int, width: int, random: np.random.Generator) -> list[Places]:
        """Of rows and of columns (h, w): where each pixel takes its value from."""
        factor = _between(self.zoom, random) if self.zoom else 1.0
        found = []
        for own, side in zip(np.indices((height, width), np.float64), (height, width), strict=True):
            middle = (side - 1) / 2
            places: Places = middle + (own - middle) / factor
            found.append(places + self.elastic * _field(height, width, random) if self.elastic else places)
        return found


def _field(height: int, width: int, random: np.random.Generator) -> Places:
    nodes = Image.fromarray(random.standard_normal((NODES, NODES)).astype(np.float32))
    return np.asarray(nodes.resize((width, height), Image.Resampling.BICUBIC), np.float64)


def _resampled(crop: Pixels, sources: Sequence[Places]) -> Pixels:
    """Bilinear; what lies outside is mirrored."""
    (top, down), (left, right) = (_neighbours(sources[axis], crop.shape[axis]) for axis in (0, 1))
    y, x = ((each - np.floor(each))[..., None] for each in sources)
    upper, lower = ((1 - x) * crop[line, left] + x * crop[line, right] for line in (top, down))
    return np.rint((1 - y) * upper + y * lower).astype(np.uint8)


def _neighbours(places: Places, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pixels before and behind each place along an axis."""
    before = np.floor(places).astype(np.intp)
    period = max(1, 2 * (side - 1))
    first, second = (side - 1 - np.abs(each % period - (side - 1)) for each in (before, before + 1))
    return first, second


def _sides(crop: Pixels) -> NDArray[np.bool_]:
    """Which sides of the crop the object touches: top, bottom, left, right; none without a mask."""
    mask = crop[..., 3:]
    return np.array([np.any(side) for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])])


def _between(factors: tuple[float, float], random: np.random.Generator) -> float:
    """Uniform in its logarithm."""
    low, high = factors
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _expose(crop: Pixels, gain: tuple[float, float], random: np.random.Generator) -> Pixels:
    factor = _between(gain, random)
    image = np.rint(np.minimum(crop[..., :3] * factor, 255)).astype(np.uint8)
    return np.dstack([image, crop[..., 3:]])
