"""Semantic segmentation: images/PART/NAME.png, masks/PART/NAME.png with a value for each class, classes.txt."""

from pathlib import Path

import numpy as np
import torch

from dmix_core.images import index_picture, png_bytes

from ..arrays import Pixels
from ..exceptions import DataError
from ..stored_set import StoredSample, StoredSet
from .writing import Writing, put, put_picture

BACKGROUND = "background"
CLASSES = "classes.txt"
"""A class a line; the first line is the value 0."""


class ClassPictures:
    """Masks are palette pictures: the file holds the classes' numbers, viewers show colours; 0 is the background."""

    name = "semantic"
    title = "semantic segmentation: mmsegmentation, segmentation-models, SMP, torchvision"

    def write(self, source: StoredSet, folder: Path) -> Writing:
        put(folder / CLASSES, _classes(source).encode())
        for sample in source.samples():
            split = sample.entry.split
            put_picture(folder / "images" / split / f"{sample.name}.png", sample)
            values = torch.from_numpy(_values(sample))
            put(folder / "masks" / split / f"{sample.name}.png", png_bytes(index_picture(values)))
            yield sample
        return []


def _values(sample: StoredSample) -> Pixels:
    values = np.zeros((sample.entry.height, sample.entry.width), np.uint8)
    for each in sample.shown:
        values[each.mask] = each.class_id + 1
    return values


def _classes(source: StoredSet) -> str:
    names = (BACKGROUND, *source.info.classes)
    strange = [name for name in names if not name.strip() or name != " ".join(name.split())]
    if strange or len(names) > 256:
        raise DataError(
            f"{str(source.root)!r} has {len(names) - 1} classes{f', one called {strange[0]!r}' if strange else ''}; "
            "expected at most 255, whose names fit in a line. Write another format, such as coco."
        )
    return "".join(f"{name}\n" for name in names)
