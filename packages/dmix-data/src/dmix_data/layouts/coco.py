"""COCO instances: annotations/instances_*.json and folders of pictures; masks are polygons or run lengths."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from PIL import Image
from pydantic import BaseModel, Field, StrictInt, StrictStr, ValidationError

from ..arrays import Pixels
from ..exceptions import DataError
from ..masks import Found
from ..options import Split
from ..paths import inside, text_of
from ..segmentations import mask_of
from .base import Listing, Record

Id = StrictInt | StrictStr
Name = Annotated[StrictStr, Field(min_length=1)]
Table = TypeVar("Table", bound=BaseModel)
Side = Annotated[int, Field(ge=1, le=2**31)]


class CocoImage(BaseModel):
    """A picture that an annotation file names."""

    id: Id
    file_name: Name
    height: Side
    width: Side


class _Annotation(BaseModel):
    image_id: Id
    category_id: Id
    segmentation: Any
    iscrowd: Any = None


class CocoCategory(BaseModel):
    """A class of objects."""

    id: Id
    name: Name


class _Table(BaseModel):
    """What is read of an annotation file; it may hold more."""

    images: list[CocoImage]
    annotations: list[_Annotation]
    categories: list[CocoCategory]


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
        limit = Image.MAX_IMAGE_PIXELS
        if limit and self.size[0] * self.size[1] > limit:
            raise DataError(
                f"{str(self.table)!r} has a picture of {self.size[1]}x{self.size[0]} pixels; expected at most {limit}."
            )
        return [Found(name, self._mask(segmentation), whole=True) for name, segmentation in self.objects]

    def _mask(self, segmentation: str) -> Pixels:
        try:
            return mask_of(json.loads(segmentation), self.size)
        except ValueError as error:
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
    content = parsed(table, _Table)
    objects = _objects(content, table)
    split = _split_of(table, root)
    for image in sorted(content.images, key=lambda image: image.file_name):
        path = _picture(root, table, image.file_name)
        if path is None:
            listing.missing.append(Path(image.file_name))
            continue
        source = Instances(table, (image.height, image.width), tuple(objects[image.id]))
        listing.records.append(Record(path, source if source.objects else None, split=split))


def _objects(content: _Table, table: Path) -> defaultdict[Id, list[tuple[str, str]]]:
    """(class, segmentation as JSON) of the objects of each picture; none for pictures without."""
    classes = {category.id: category.name for category in content.categories}
    objects: defaultdict[Id, list[tuple[str, str]]] = defaultdict(list)
    for annotation in content.annotations:
        if annotation.iscrowd:
            continue
        if annotation.category_id not in classes:
            raise DataError(f"{str(table)!r} has objects of a category {annotation.category_id} that it lacks.")
        segmentation = json.dumps(annotation.segmentation, separators=(",", ":"))
        objects[annotation.image_id].append((classes[annotation.category_id], segmentation))
    return objects


def parsed(table: Path, model: type[Table]) -> Table:
    """The content of an annotation file, as far as the model asks for it.

    Raises:
        DataError: it is not what COCO calls instances.
    """
    try:
        return model.model_validate_json(text_of(table))
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise DataError(
            f"Cannot understand {str(table)!r} ({where}: {problem['msg']}). "
            "Expected COCO instances: images, annotations, categories."
        ) from error


def _picture(root: Path, table: Path, name: str) -> Path | None:
    """Where a picture lies: in the folder of its part, below images/, or beside the table."""
    part = table.stem.removeprefix("instances_")
    folders = [part, f"images/{part}", "images", "."] if table.parent != root else ["."]
    if table.name.startswith("_"):
        folders = [table.parent.relative_to(root).as_posix()]
    candidates = (inside(root, f"{folder}/{name}", table) for folder in folders)
    return next((path for path in candidates if path.exists()), None)


def _split_of(table: Path, root: Path) -> Split | None:
    place = table.stem if table.name.startswith("instances_") else table.parent.relative_to(root).as_posix()
    return next((split for split in get_args(Split) if split in place), None)
