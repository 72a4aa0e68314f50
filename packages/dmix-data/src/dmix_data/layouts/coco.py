"""COCO instances: annotations/instances_*.json and folders of pictures; masks are polygons or run lengths."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..files import DataError, Pixels, inside, text_of
from ..masks import Found
from .base import Listing, Record, Split

Annotation = dict[str, Any]


@dataclass(frozen=True)
class Instances:
    """The objects of one picture.

    Attributes:
        table: the file that describes them.
        size: (h, w) of the picture.
        objects: (class, segmentation) of each; a segmentation is a list of polygons or a dict of run lengths, as JSON,
            which takes a quarter of the memory.
    """

    table: Path
    size: tuple[int, int]
    objects: tuple[tuple[str, str], ...]
    rule: str = "polygon or RLE"

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def class_names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.objects)

    def read(self) -> list[Found]:
        return [Found(name, self._mask(json.loads(segmentation)), whole=True) for name, segmentation in self.objects]

    def _mask(self, segmentation: Any) -> Pixels:
        try:
            if isinstance(segmentation, dict):
                return run_lengths(segmentation["counts"], cast(tuple[int, int], tuple(segmentation["size"])))
            return polygons(segmentation, self.size)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{str(self.table)!r} has a segmentation that is none ({error}). "
                "Expected polygons [[x1, y1, x2, y2, ...]] or run lengths {'size': [h, w], 'counts': ...}."
            ) from error


class COCO:
    """Every object is one however many parts it has; crowds (`iscrowd`) are left out.

    The edge of a polygon differs by a pixel here and there from what pycocotools draws, its area by 0.1 % in the mean
    over random polygons (Pillow's polygons are larger by a sixth). The part of the data set is that in
    the file's name, such as instances_train2017.json.
    """

    name = "coco"
    title = "COCO instances"
    rule = "polygon or RLE"
    fallback = False

    def detect(self, root: Path) -> str | None:
        found = tables(root)
        return ", ".join(path.relative_to(root).as_posix() for path in found) if found else None

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        for table in tables(root):
            _read_table(root, table, listing)
        return listing


def tables(root: Path) -> list[Path]:
    """The annotation files: as COCO has them, or _annotations.coco.json beside the pictures of each part."""
    found = [*root.glob("annotations/instances_*.json"), *root.glob("_annotations.coco.json")]
    return sorted([*found, *root.glob("*/_annotations.coco.json")])


def _read_table(root: Path, table: Path, listing: Listing) -> None:
    content = parsed(table)
    classes = {category["id"]: str(category["name"]) for category in content["categories"]}
    objects: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for annotation in content["annotations"]:
        if annotation.get("iscrowd"):
            continue
        if annotation["category_id"] not in classes:
            raise DataError(f"{str(table)!r} has objects of a category {annotation['category_id']} that it lacks.")
        segmentation = json.dumps(annotation["segmentation"], separators=(",", ":"))
        objects[annotation["image_id"]].append((classes[annotation["category_id"]], segmentation))
    split = _split_of(table, root)
    for image in sorted(content["images"], key=lambda image: str(image["file_name"])):
        path = _picture(root, table, image["file_name"])
        if path is None:
            listing.missing.append(Path(image["file_name"]))
            continue
        source = Instances(table, (image["height"], image["width"]), tuple(objects[image["id"]]))
        listing.records.append(Record(path, source if source.objects else None, split=split))


def parsed(table: Path) -> dict[str, list[Annotation]]:
    """The content of an annotation file.

    Raises:
        DataError: it is not what COCO calls instances.
    """
    expected = {
        "images": {"id", "file_name", "height", "width"},
        "annotations": {"image_id", "category_id", "segmentation"},
        "categories": {"id", "name"},
    }
    try:
        content = json.loads(text_of(table))
        lacking = [
            f"{part}: {', '.join(sorted(keys - each.keys()))}"
            for part, keys in expected.items()
            for each in content[part]
            if keys - each.keys()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"Cannot understand {str(table)!r} ({error!r}). Expected COCO instances: images, annotations, categories."
        ) from error
    if lacking:
        raise DataError(f"{str(table)!r} has entries that lack {lacking[0]}. Expected COCO instances.")
    return cast(dict[str, list[Annotation]], content)


def _picture(root: Path, table: Path, name: str) -> Path | None:
    """Where a picture lies: in the folder of its part, below images/, or beside the table."""
    part = table.stem.removeprefix("instances_")
    folders = [part, f"images/{part}", "images", "."] if table.parent != root else ["."]
    if table.name.startswith("_"):
        folders = [table.parent.relative_to(root).as_posix()]
    candidates = (inside(root, f"{folder}/{name}", table) for folder in folders)
    return next((path for path in candidates if path.is_file()), None)


def _split_of(table: Path, root: Path) -> Split | None:
    told = table.stem if table.name.startswith("instances_") else table.parent.relative_to(root).as_posix()
    splits: tuple[Split, ...] = ("train", "val", "test")
    return next((split for split in splits if split in told), None)


def polygons(parts: list[list[float]], size: tuple[int, int]) -> Pixels:
    """The union of polygons [x1, y1, x2, y2, ...] as a mask (h, w): the pixels whose centres lie inside."""
    mask = np.zeros(size, np.uint8)
    for part in parts:
        if len(part) < 6 or len(part) % 2:
            raise ValueError(f"a polygon of {len(part)} numbers")
        _fill(mask, np.array(part, np.float64).reshape(-1, 2))
    return mask


def _fill(mask: Pixels, corners: NDArray[np.float64]) -> None:
    """Fill a polygon: a centre is inside if an odd number of edges lies left of it."""
    (left, top), (right, bottom) = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    window = mask[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    y = np.arange(window.shape[0])[:, None] + max(top, 0) + 0.5
    x = np.arange(window.shape[1])[None, :] + max(left, 0) + 0.5
    inside = np.zeros(window.shape, bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, 0)):
        if y1 != y2:
            crossed = (y >= min(y1, y2)) & (y < max(y1, y2))
            inside ^= crossed & (x >= x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    window[inside] = 255


def run_lengths(counts: str | list[int], size: tuple[int, int]) -> Pixels:
    """A mask (h, w) of the lengths of its runs, column by column, the first of them outside."""
    runs = np.array(uncompressed(counts) if isinstance(counts, str) else counts, np.int64)
    if (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ValueError(f"runs of {runs.sum()} pixels for {size[1]}x{size[0]}")
    values = np.arange(len(runs)) % 2 * 255
    return np.repeat(values.astype(np.uint8), runs).reshape(size, order="F")


def uncompressed(text: str) -> list[int]:
    """Run lengths from text.

    A character has 5 bits of a number, the least first, and one that says whether more follow; the last bit of all is
    the sign. From the fourth number on it is the difference to the one before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text.encode():
        code = character - 48
        if not 0 <= code < 64:
            raise ValueError(f"the character {chr(character)!r} in run lengths")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        value -= (code & 16) and 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths that break off")
    return runs


LAYOUT = COCO()
