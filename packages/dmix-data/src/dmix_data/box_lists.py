"""Lists of boxes for pictures: tables in CSV, and COCO's JSON."""

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dmix_core.geometry import Box

from .exceptions import DataError
from .layouts.coco import CocoCategory, CocoImage, Id, parsed
from .paths import text_of

LIMIT = 2**31
"""Of a coordinate, in pixels."""
EXPECTED = "Expected a CSV table with the columns image, x, y, width, height, class, or COCO's JSON with boxes."


class ListedBox(NamedTuple):
    """A box in whole pixels, and the class of what it is for; "" where none is stated."""

    box: Box
    class_name: str = ""


Boxes = dict[str, list[ListedBox]]
"""By the name of their picture, in the order of the file; those under "" are for every picture."""


class _Row(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    image: str = ""
    x: float = Field(ge=0, le=LIMIT)
    y: float = Field(ge=0, le=LIMIT)
    width: float = Field(gt=0, le=LIMIT)
    height: float = Field(gt=0, le=LIMIT)
    class_name: str = Field("", alias="class")

    @property
    def listed(self) -> ListedBox:
        """The pixels that it touches."""
        x, y = math.floor(self.x), math.floor(self.y)
        right, bottom = math.ceil(self.x + self.width), math.ceil(self.y + self.height)
        return ListedBox(Box(x, y, right - x, bottom - y), self.class_name)


class _Annotation(BaseModel):
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    iscrowd: Any = None


class _Table(BaseModel):
    """What is read of COCO's JSON: boxes, with or without segmentations."""

    images: list[CocoImage]
    annotations: list[_Annotation]
    categories: list[CocoCategory]


def read_boxes(path: str | Path) -> Boxes:
    """The boxes of a file that ends in .json as COCO's, and of any other as a table in CSV.

    A table has a line of titles; its columns are x, y, width, height, and, where they are stated, `image` (or
    `background`) and `class`; others are not looked at. Fractions of pixels are rounded outwards. Crowds are left out.

    Raises:
        DataError: the file cannot be read, has no boxes, or the line of what is none.
    """
    source = Path(path)
    rows = _of_coco(source) if source.suffix.lower() == ".json" else _of_table(source)
    found: Boxes = {}
    for row in rows:
        found.setdefault(row.image, []).append(row.listed)
    if not found:
        raise DataError(f"{str(path)!r} lists no boxes. {EXPECTED}")
    return found


def _of_table(path: Path) -> Iterator[_Row]:
    table = csv.DictReader(text_of(path).splitlines(), skipinitialspace=True)
    titles = [(title or "").strip().lower() for title in table.fieldnames or ()]
    missing = [title for title in ("x", "y", "width", "height") if title not in titles]
    if missing:
        raise DataError(f"The first line of {str(path)!r} lacks the columns {', '.join(missing)}. {EXPECTED}")
    table.fieldnames = ["image" if title == "background" else title for title in titles]
    try:
        for line in table:
            cells = {key: (value or "").strip() for key, value in line.items() if key and not isinstance(value, list)}
            yield _row(cells, f"Line {table.line_num} of {str(path)!r}")
    except csv.Error as error:
        raise DataError(f"Line {table.line_num} of {str(path)!r} cannot be read ({error}). {EXPECTED}") from error


def _of_coco(path: Path) -> Iterator[_Row]:
    table = parsed(path, _Table)
    pictures = {each.id: each.file_name for each in table.images}
    classes = {each.id: each.name for each in table.categories}
    for number, each in enumerate(table.annotations):
        where = f"The annotation {number} of {str(path)!r}"
        if each.image_id not in pictures or each.category_id not in classes:
            raise DataError(f"{where} names an image {each.image_id} or a category {each.category_id} that it lacks.")
        if not each.iscrowd:
            cells = dict(zip(("x", "y", "width", "height"), each.bbox, strict=True))
            yield _row(cells | {"image": pictures[each.image_id], "class": classes[each.category_id]}, where)


def _row(cells: Mapping[str, Any], where: str) -> _Row:
    try:
        return _Row.model_validate(cells)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(map(str, problem["loc"]))
        raise DataError(
            f"{where} is no box ({name} is {problem['input']!r}: {problem['msg']}). Expected x, y of the top left "
            "corner from 0 on, and a width and height above 0, in pixels."
        ) from error
