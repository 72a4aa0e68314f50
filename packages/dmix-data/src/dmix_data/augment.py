"""Augmentation, each kind only where it is declared to leave a picture plausible."""

import math
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator

from .arrays import Pixels


class Augmentation(BaseModel):
    """What may be done to a crop; nothing by default.

    Attributes:
        flips: mirror left and right ("horizontal"), top and bottom ("vertical"), or both.
        quarter_turns: turn by 0, 90, 180 or 270 degrees; needs square crops.
        gain: multiply the image's values by a factor between these two (uniform in its logarithm) and clip, as other
            exposures would; the mask stays.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flips: Literal["none", "horizontal", "vertical", "both"] = "none"
    quarter_turns: bool = False
    gain: tuple[float, float] | None = None

    @field_validator("gain")
    @classmethod
    def _positive(cls, gain: tuple[float, float] | None) -> tuple[float, float] | None:
        if gain is not None and not 0 < gain[0] <= gain[1]:
            raise ValueError("expected two factors, 0 < low <= high")
        return gain

    def __call__(self, crop: Pixels, random: np.random.Generator) -> Pixels:
        """Augment a crop (h, w, 3 + M); image and mask move together."""
        mirror = random.integers(0, 2, 2)
        if mirror[0] and self.flips in ("horizontal", "both"):
            crop = crop[:, ::-1]
        if mirror[1] and self.flips in ("vertical", "both"):
            crop = crop[::-1]
        if self.quarter_turns:
            crop = np.rot90(crop, int(random.integers(4)))
        return crop if self.gain is None else _expose(crop, self.gain, random)


def _expose(crop: Pixels, gain: tuple[float, float], random: np.random.Generator) -> Pixels:
    factor = math.exp(random.uniform(math.log(gain[0]), math.log(gain[1])))
    image = np.rint(np.minimum(crop[..., :3] * factor, 255)).astype(np.uint8)
    return np.dstack([image, crop[..., 3:]])
