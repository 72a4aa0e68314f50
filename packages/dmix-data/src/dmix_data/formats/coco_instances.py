"""COCO instances: PART/NAME.png, and annotations/instances_PART.json."""

import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..components import label
from ..objects import box_of
from ..outlines import edge_loops, joined
from ..segmentations import encoded
from ..stored_set import Shown, StoredSample, StoredSet
from .writing import Writing, put_picture


@dataclass(frozen=True)
class CocoInstances:
    """Visible masks as run lengths, with their holes; every object is one annotation, and none is a crowd.

    Args:
        polygons: write polygons instead: one for each part of an object, which runs into its holes and back.
    """

    polygons: bool = False
    name = "coco"
    title = "COCO instances: pycocotools, detectron2, torchvision, mmdetection"

    def write(self, source: StoredSet, folder: Path) -> Writing:
        with ExitStack() as stack:
            tables: dict[str, _Table] = {}
            for sample in source.samples():
                split = sample.entry.split
                if split not in tables:
                    tables[split] = stack.enter_context(_Table(folder, split))
                put_picture(folder / split / f"{sample.name}.png", sample)
                tables[split].add(sample, self.polygons)
                yield sample
            for table in tables.values():
                table.close(_head(source))
        return []


class _Table:
    """An annotation file, written as samples come: the annotations go to a file of their own until the images end."""

    def __init__(self, folder: Path, split: str) -> None:
        self.path = folder / "annotations" / f"instances_{split}.json"
        self.path.parent.mkdir(exist_ok=True)
        self.images = _Rows(self.path.with_suffix(".images"))
        self.annotations = _Rows(self.path.with_suffix(".annotations"))

    def __enter__(self) -> "_Table":
        return self

    def __exit__(self, *error: object) -> None:
        for rows in (self.images, self.annotations):
            rows.file.close()
            rows.path.unlink(missing_ok=True)

    def add(self, sample: StoredSample, polygons: bool) -> None:
        entry, image_id = sample.entry, self.images.count + 1
        size = {"width": entry.width, "height": entry.height}
        self.images.add({"id": image_id, "file_name": f"{sample.name}.png", **size})
        for each in sample.shown:
            self.annotations.add({"id": self.annotations.count + 1, "image_id": image_id, **_facts(each, polygons)})

    def close(self, head: dict[str, Any]) -> None:
        with self.path.open("wb") as file:
            file.write(json.dumps(head).encode()[:-1])
            for name, rows in (("images", self.images), ("annotations", self.annotations)):
                file.write(f',\n"{name}": [\n'.encode())
                rows.copy_to(file)
                file.write(b"]")
            file.write(b"}\n")


class _Rows:
    """The entries of a list, written to a file of their own."""

    def __init__(self, path: Path) -> None:
        self.path, self.count, self.file = path, 0, path.open("w+b")

    def add(self, row: dict[str, Any]) -> None:
        self.file.write(f"{',' if self.count else ''}{json.dumps(row)}\n".encode())
        self.count += 1

    def copy_to(self, file: BinaryIO) -> None:
        self.file.seek(0)
        shutil.copyfileobj(self.file, file)


def _head(source: StoredSet) -> dict[str, Any]:
    info = {"description": f"{source.info.name}: contains synthetic images", "version": source.info.recipe}
    licences = [{"id": number, "name": text} for number, text in enumerate(source.info.licences.values(), 1)]
    categories = [{"id": number, "name": name} for number, name in enumerate(source.info.classes, 1)]
    return {"info": info, "licenses": licences, "categories": categories}


def _facts(each: Shown, polygons: bool) -> dict[str, Any]:
    """What an annotation states of an object, its ids apart."""
    return {
        "category_id": each.class_id + 1,
        "bbox": [*box_of(each.mask)],
        "area": int(each.mask.sum()),
        "iscrowd": 0,
        "segmentation": _polygons(each) if polygons else encoded(each.mask),
    }


def _polygons(each: Shown) -> list[list[int]]:
    parts = label(each.mask)
    loops = (edge_loops(parts == number) for number in range(1, int(parts.max()) + 1))
    return [joined(part).ravel().tolist() for part in loops]
