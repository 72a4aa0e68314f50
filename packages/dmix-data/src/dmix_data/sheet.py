"""Objects of a data set, to look at."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from dmix_core.pictures import LEGIBLE, contact_sheet, enlarge, overlay

from .arrays import Pixels
from .inspection import Sample

COLUMNS = 8


def sheet(samples: Sequence[Sample]) -> Image.Image:
    """Each object beside the same with its mask drawn over it, sorted by class."""
    tiles: list[Image.Image | None] = []
    captions: list[str] = []
    for sample in sorted(samples, key=lambda sample: sample.class_name):
        picture, mask = _legible(sample.pixels), _legible(sample.mask)
        index = torch.from_numpy(np.asarray(mask) > 127).to(torch.uint8)
        tiles += [enlarge(picture), overlay(picture, index)]
        captions += [f"{sample.class_name}, {sample.side} px", ""]
    return contact_sheet(tiles, COLUMNS, captions)


def _legible(pixels: Pixels) -> Image.Image:
    """A picture no larger than it need be."""
    picture = Image.fromarray(pixels.squeeze())
    picture.thumbnail((LEGIBLE, LEGIBLE), Image.Resampling.BOX)
    return picture
