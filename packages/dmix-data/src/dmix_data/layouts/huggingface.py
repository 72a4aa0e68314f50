"""Hugging Face's ImageFolder with masks: PART/metadata.jsonl, which names a picture and a mask in each line."""

from pathlib import Path
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..exceptions import DataError
from ..masks import MaskSource, NumberedObjects
from ..options import Split
from ..paths import inside, text_of
from .base import Listing, Record

METADATA = "metadata.jsonl"


class _Objects(BaseModel):
    """Lists with an entry for each object."""

    model_config = ConfigDict(populate_by_name=True)

    value: list[Annotated[int, Field(ge=1, le=255)]] = []
    names: list[str] = Field([], alias="class")


class _Row(BaseModel):
    """What is read of a line; it may hold more."""

    file_name: str
    mask_file_name: str
    group: str | None = None
    objects: _Objects


class HuggingFace:
    """What `dmix export --format huggingface` writes: masks with a value for each object, named in `objects`."""

    name = "huggingface"
    title = "Hugging Face ImageFolder with masks"
    rule = NumberedObjects.rule
    fallback = False

    def detect(self, root: Path) -> str | None:
        return ", ".join(path.relative_to(root).as_posix() for path in _lists(root)) or None

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        for table in _lists(root):
            split = next((part for part in get_args(Split) if part == table.parent.name), None)
            for number, line in enumerate(text_of(table).splitlines(), 1):
                _add(_parsed(line, number, table), table, split, listing)
        return listing


def _lists(root: Path) -> list[Path]:
    return sorted(path for path in [*root.glob(METADATA), *root.glob(f"*/{METADATA}")] if path.is_file())


def _add(row: _Row, table: Path, split: Split | None, listing: Listing) -> None:
    image, mask = (inside(table.parent, name, table) for name in (row.file_name, row.mask_file_name))
    if missing := [path for path in (image, mask) if not path.is_file()]:
        listing.missing.extend(missing)
        return
    classes = tuple(zip(row.objects.value, row.objects.names, strict=True))
    source: MaskSource | None = NumberedObjects(mask, classes) if classes else None
    listing.records.append(Record(image, source, group=row.group, split=split, normal=not classes))


def _parsed(line: str, number: int, table: Path) -> _Row:
    try:
        row = _Row.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the line"
        raise DataError(
            f"Line {number} of {str(table)!r} cannot be understood ({where}: {problem['msg']}). "
            "Expected file_name, mask_file_name and objects, as `dmix export --format huggingface` writes them."
        ) from error
    if len(row.objects.value) != len(row.objects.names):
        raise DataError(f"Line {number} of {str(table)!r} has objects with lists of different lengths.")
    return row
