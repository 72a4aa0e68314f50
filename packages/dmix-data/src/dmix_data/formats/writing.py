"""What a format is, and what formats write with."""

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmix_core.images import png_bytes
from dmix_core.output import safe

from ..exceptions import DataError
from ..stored_set import StoredSample, StoredSet

GOOD = "good"
"""The folder of pictures without objects in MVTec AD."""
COMBINED = "combined"
"""What MVTec AD calls pictures with objects of several classes."""

Writing = Generator[StoredSample, None, list[str]]
"""Yields each sample when it is written; returns what a user should know, in whole sentences."""


class Format(Protocol):
    """A format that sets are written in. Plugins provide them through the hook `dmix_formats`.

    Attributes:
        name: what `--format` calls it, which is the name under which the hook provides it.
        title: the tools that read it.
    """

    name: str
    title: str

    def write(self, source: StoredSet, folder: Path) -> Writing:
        """Write a set into a folder that exists, is empty and is the format's own, a sample at a time.

        The files are a function of the set alone.

        Raises:
            DataError, ImageError: what is wrong with the set.
            OSError: a file that cannot be written.
        """
        ...


def put(path: Path, content: bytes) -> Path:
    """Write a file, in a folder that is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def put_picture(path: Path, sample: StoredSample) -> Path:
    """Write a sample's picture as a PNG: as it is, byte for byte, where it is one."""
    if sample.image.suffix.lower() == ".png":
        return put(path, sample.image.read_bytes())
    return put(path, png_bytes(sample.picture()))


def put_mask(path: Path, mask: NDArray[np.bool_]) -> Path:
    """Write a mask as a grey PNG of 0 and 255."""
    return put(path, png_bytes(Image.fromarray(255 * mask.astype(np.uint8))))


def union(sample: StoredSample) -> NDArray[np.bool_]:
    """Where any object of a sample shows (H, W)."""
    shape = (sample.entry.height, sample.entry.width)
    return np.any([np.zeros(shape, bool), *(each.mask for each in sample.shown)], axis=0)


def kind_of(sample: StoredSample) -> str:
    """The one class that a sample shows, COMBINED for several, GOOD for none."""
    names = {each.entry.class_name for each in sample.shown}
    return GOOD if not names else COMBINED if len(names) > 1 else min(names)


def folder_names(source: StoredSet) -> dict[str, str]:
    """What the folder of each kind is called.

    Raises:
        DataError: two classes would share one.
    """
    names = {name: safe(name) for name in (*source.info.classes, GOOD, COMBINED)}
    twice = [
        name for name, count in Counter([safe(each) for each in (*source.info.classes, GOOD)]).items() if count > 1
    ]
    if twice or COMBINED in source.info.classes:
        raise DataError(
            f"Classes of {str(source.root)!r} would share the folder {(twice or [COMBINED])[0]!r}. Expected names that "
            f"differ in letters, digits, '.', '-' or '_', and are not {GOOD!r} or {COMBINED!r}."
        )
    return names


@dataclass
class Numbers:
    """Counts the files of each folder, for names with the same number of digits."""

    digits: int
    counts: Counter[Path] = field(default_factory=Counter)

    def next(self, folder: Path) -> str:
        self.counts[folder] += 1
        return f"{self.counts[folder] - 1:0{self.digits}d}"


def numbers(source: StoredSet) -> Numbers:
    """Numbers for as many files as the set has, of three digits at least."""
    return Numbers(max(3, len(str(source.count() - 1))))


def splits(source: StoredSet) -> list[str]:
    """The parts that the set is divided into, in their order."""
    found = {sample.entry.split for sample in source.samples()}
    return [split for split in ("train", "val", "test") if split in found]
