"""YOLO's segments: images/PART/X.png with labels/PART/X.txt, or PART/images with PART/labels, and data.yaml."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from dmix_core.image_files import decode

from ..exceptions import DataError
from ..masks import Found
from ..options import Split
from ..outlines import drawn
from ..paths import pictures_below, text_of
from .base import Listing, Record

TABLES = ("data.yaml", "dataset.yaml")
_ENTRY = re.compile(r"^[ \t]+(\d+)[ \t]*:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_LIST = re.compile(r"^names[ \t]*:[ \t]*\[(.*?)\]", re.MULTILINE | re.DOTALL)
_PART = {"valid": "val"}


@dataclass(frozen=True)
class Segments:
    """The polygons of one picture, drawn as YOLO's trainers draw them: outlines belong to the objects."""

    path: Path
    image: Path
    classes: tuple[str, ...]
    rule: str = "polygons"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def class_names(self) -> None:
        return None

    def read(self) -> list[Found]:
        width, height = decode(self.image).size
        found = []
        for number, line in enumerate(text_of(self.path).splitlines(), 1):
            if line.strip():
                class_id, corners = _parsed(line, number, self.path)
                points = np.floor(corners * (width, height)).astype(int)
                name = self.classes[class_id] if class_id < len(self.classes) else str(class_id)
                found.append(Found(name, drawn(points, (height, width)), whole=True))
        return found


class YOLO:
    """Every line is one object, in one polygon; lines with a box alone have no mask and are refused."""

    name = "yolo-seg"
    title = "YOLO segments: ultralytics"
    rule = "polygons"
    fallback = False

    def detect(self, root: Path) -> str | None:
        found = _folders(root)
        return ", ".join(f"{a.relative_to(root)}/ with {b.relative_to(root)}/" for a, b in found) or None

    def read(self, root: Path) -> Listing:
        classes, listing = _classes(root), Listing([])
        for images, labels in _folders(root):
            texts = {path.relative_to(labels).with_suffix(""): path for path in sorted(labels.rglob("*.txt"))}
            for image in pictures_below(images):
                text = texts.pop(image.relative_to(images).with_suffix(""), None)
                source = Segments(text, image, classes) if text and text.stat().st_size else None
                part = image.relative_to(root).parts[:2]
                listing.records.append(Record(image, source, split=_split(part), normal=source is None))
            listing.orphans.extend(texts.values())
        return listing


def _folders(root: Path) -> list[tuple[Path, Path]]:
    """The folders of pictures with those of their labels."""
    images = sorted([*root.glob("images"), *root.glob("*/images")])
    pairs = ((path, path.with_name("labels")) for path in images)
    return [(path, labels) for path, labels in pairs if path.is_dir() and any(labels.rglob("*.txt"))]


def _split(folders: tuple[str, ...]) -> Split | None:
    known = {_PART.get(name, name) for name in folders}
    return next((part for part in get_args(Split) if part in known), None)


def _classes(root: Path) -> tuple[str, ...]:
    """The names that the table of a data set gives its classes; none without a table."""
    table = next((root / name for name in TABLES if (root / name).is_file()), None)
    if table is None:
        return ()
    text = text_of(table)
    if listed := _LIST.search(text):
        return tuple(_plain(name.strip()) for name in listed[1].split(",") if name.strip())
    return tuple(_plain(name) for _, name in sorted((int(number), name) for number, name in _ENTRY.findall(text)))


def _plain(name: str) -> str:
    """A name of YAML without its quotes; those in double quotes are as in JSON."""
    try:
        return str(json.loads(name)) if name.startswith('"') else name.strip("'")
    except ValueError:
        return name


def _parsed(line: str, number: int, path: Path) -> tuple[int, NDArray[np.float64]]:
    """The class and the corners (N, 2) in 0..1 of a line."""
    try:
        first, *rest = line.split()
        class_id, values = int(first), np.array(rest, np.float64)
    except ValueError:
        class_id, values = -1, np.zeros(0)
    if class_id < 0 or len(values) % 2 or len(values) in (0, 4) or not ((values >= 0) & (values <= 1)).all():
        raise DataError(
            f"Line {number} of {str(path)!r} is no polygon. Expected a class and pairs of coordinates in 0..1; "
            "a line with a box alone has no mask."
        )
    return class_id, values.reshape(-1, 2)
