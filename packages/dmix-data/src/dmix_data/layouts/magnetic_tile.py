"""Magnetic Tile Defect: MT_CLASS/Imgs/X.jpg with its mask X.png beside it."""

import re
from itertools import pairwise
from pathlib import Path

from ..masks import MaskFile
from ..paths import PHOTO_SUFFIXES, folders_in, pictures_in
from .base import Listing, Record

SAME_TILE = 150
"""Photographs of one tile have numbers less than this apart; up to six exposures were taken of each."""


class MagneticTile:
    """The folder of all classes, or that of one.

    Around every object the masks have a halo of faint values, as lossy compression leaves it: with another threshold
    than 127 the area of cracks grows by half or shrinks by half.
    """

    name = "magnetic-tile"
    title = "Magnetic Tile Defect (Huang et al., 2018)"
    rule = "threshold:127"
    fallback = False

    def detect(self, root: Path) -> str | None:
        found = classes(root)
        return f"Imgs/ in {', '.join(folder.name for folder in found)}" if found else None

    def read(self, root: Path) -> Listing:
        images = [path for folder in classes(root) for path in photographs(folder)]
        groups = tiles(images)
        listing = Listing([])
        for image in images:
            class_name = image.parent.parent.resolve().name.removeprefix("MT_").lower()
            mask, normal = image.with_suffix(".png"), class_name == "free"
            if normal:
                listing.records.append(Record(image, group=groups[image], normal=True))
            elif mask.is_file():
                listing.records.append(Record(image, MaskFile(mask, self.rule), class_name, groups[image]))
            else:
                listing.maskless.append(image)
        listing.orphans.extend(mask for folder in classes(root) for mask in _orphans(folder))
        return listing


def classes(root: Path) -> list[Path]:
    return [folder for folder in (root, *folders_in(root)) if _is_class(folder)]


def _is_class(folder: Path) -> bool:
    return folder.resolve().name.startswith("MT_") and (folder / "Imgs").is_dir()


def photographs(folder: Path) -> list[Path]:
    return [path for path in pictures_in(folder / "Imgs") if path.suffix.lower() in PHOTO_SUFFIXES]


def _orphans(folder: Path) -> list[Path]:
    stems = {path.stem for path in photographs(folder)}
    return [path for path in pictures_in(folder / "Imgs") if path.stem not in stems]


def tiles(images: list[Path]) -> dict[Path, str]:
    """The tile that each photograph shows: neighbours in a chain of close numbers are of one tile."""
    numbers = sorted({_number(image) for image in images})
    first = {number: number for number in numbers[:1]}
    for before, number in pairwise(numbers):
        first[number] = first[before] if number - before < SAME_TILE else number
    return {image: f"tile {first[_number(image)]}" for image in images}


def _number(image: Path) -> int:
    found = re.search(r"num_(\d+)", image.stem)
    return int(found[1]) if found else 0
