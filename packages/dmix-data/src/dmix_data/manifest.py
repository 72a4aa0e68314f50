"""crops.jsonl: where each crop comes from."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from .exceptions import DataError
from .options import Split
from .paths import text_of

MANIFEST = "crops.jsonl"


class CropEntry(BaseModel):
    """A line of crops.jsonl. Boxes are (x, y, width, height) in pixels of the source.

    Attributes:
        file: the crop, relative to the folder of crops.
        source, sha256: the picture that it was cut from, relative to the data set, and the checksum of that file.
        window: what was cut; it leaves the source where that was padded.
        object: the tight box of the object.
        scale: pixels of the crop over pixels of the source, across and down.
        padding: the share of the crop that is none of the source.
        rule: how the mask was read.
        split, source_split: which part the crop is for, and which part of the data set its source is in.
        group: crops of one group must not be divided between parts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    file: str
    source: str
    sha256: str
    window: tuple[int, int, int, int]
    object: tuple[int, int, int, int]
    scale: tuple[float, float]
    padding: float
    class_name: str
    rule: str
    layout: str
    split: Split
    source_split: Split | None
    group: str


def read_manifest(path: Path) -> list[CropEntry]:
    """The lines of a manifest.

    Raises:
        DataError: a line that is none.
    """
    entries = []
    for number, line in enumerate(text_of(path).splitlines(), 1):
        try:
            entries.append(CropEntry.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "the line"
            raise DataError(
                f"Line {number} of {str(path)!r} is no crop: {where}: {problem['msg']}. "
                "Expected what `dmix data crops` writes; cut the crops again."
            ) from error
    return entries
