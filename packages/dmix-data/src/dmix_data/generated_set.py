"""manifest.jsonl: what a generated set holds, one line for each sample; all formats are made from it alone.

A set's folder has images/ and masks/, a manifest.jsonl of committed samples, and set.json with what all of them share.
Where checks have turned samples down, rejected.jsonl lists these.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .exceptions import DataError
from .options import Split

MANIFEST, SET, REJECTED = "manifest.jsonl", "set.json", "rejected.jsonl"

Kind = Literal["composite", "twin", "near-miss", "real"]
Box = tuple[int, int, int, int]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectEntry(_Part):
    """One object of a sample.

    Attributes:
        class_name: what it is, the label of detectors.
        value: its value in the sample's mask, 1 or more.
        box: the tight box (x, y, width, height) of its visible pixels; None where none show.
        area: its visible pixels.
        asked: the box in which it was to be painted.
        model: what painted it.
        contrast, edge, grain: how it stands out, as `dmix_core.quality` measures; None where that is undefined.
        signed_contrast: mean inside - mean around, in grey levels; negative: it is darker than its surroundings.
        flags: what the checks found, such as "border" or "faint".
    """

    class_name: str
    value: Annotated[int, Field(ge=1, le=255)]
    box: Box | None
    area: Annotated[int, Field(ge=0)]
    asked: Box | None = None
    model: str = ""
    contrast: float | None = None
    edge: float | None = None
    grain: float | None = None
    signed_contrast: float | None = None
    flags: tuple[str, ...] = ()


class SampleEntry(_Part):
    """A line of manifest.jsonl. Files are relative to the set's folder, with forward slashes.

    Attributes:
        number: its place in the plan.
        image, mask: the picture, and its mask: 0 where no object shows, and each object's value.
        twin: the picture of the same background without objects.
        kind: a twin shows no object and is a sample of its own; a near-miss shows one too faint to be labelled.
        background: the model's name, or the photograph relative to the folder of photographs.
        group: samples of one group show the same background or share states, and never stand on both sides of a split.
        recipe: the digest of what it was made from.
        states: names of its background and of its objects, which it has in common with others where these are shared.
        sha256: of each of its files.
        phash: a 64-bit perceptual hash of the image, 16 hexadecimal digits.
        centre: a 256-bit hash of the image's centre, by which crops are found, 64 hexadecimal digits; "": not known.
    """

    format_version: Literal[1] = 1
    number: Annotated[int, Field(ge=0)]
    image: str
    mask: str
    twin: str | None = None
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    kind: Kind = "composite"
    objects: tuple[ObjectEntry, ...] = ()
    background: str = ""
    group: str
    split: Split = "train"
    seed: int = 0
    recipe: str = ""
    states: tuple[str, ...] = ()
    strength: float = 1.0
    sha256: dict[str, str] = {}
    phash: Annotated[str, Field(pattern="^([0-9a-f]{16})?$")] = ""
    centre: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    flags: tuple[str, ...] = ()


class RejectedEntry(_Part):
    """A line of rejected.jsonl: what was composed for a place in the plan, and not taken.

    Attributes:
        number: the place in the plan.
        attempt: which of those that were composed for it, from 0 on.
        reasons: what the checks found, such as "empty" or "faint".
    """

    number: Annotated[int, Field(ge=0)]
    attempt: Annotated[int, Field(ge=0)] = 0
    reasons: tuple[str, ...]


class SetInfo(_Part):
    """set.json: what all samples of a set share.

    Attributes:
        classes: the names of the classes, in the order of their ids.
        recipe: digest of what the set was made from.
        made_with: versions and checksums.
        source: the content of the file that states what to generate.
        sources: where its models and photographs come from, by their names.
        licences: of the "set", its models and its "photographs", by their names, where they are known.
        real: whether backgrounds are photographs.
        samples: how many it has once it is finished; 0 where that is not known.
    """

    format_version: Literal[1] = 1
    name: str
    classes: tuple[str, ...]
    recipe: str = ""
    made_with: dict[str, str] = {}
    source: dict[str, object] = {}
    sources: dict[str, str] = {}
    licences: dict[str, str] = {}
    real: bool = False
    samples: Annotated[int, Field(ge=0)] = 0


def entries(folder: str | Path) -> Iterator[SampleEntry]:
    """The samples of a set, line by line, so that a set of any length can be read.

    Raises:
        DataError: no manifest, or a line that is none, with its number.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise DataError(f"{str(folder)!r} has no {MANIFEST}; expected a folder that `dmix generate` wrote.")
    yield from _lines_of(path, SampleEntry)


def rejected(folder: str | Path) -> Iterator[RejectedEntry]:
    """What was turned down for a set, line by line; nothing where no rejected.jsonl is.

    Raises:
        DataError: a line that is none, with its number.
    """
    path = Path(folder) / REJECTED
    return _lines_of(path, RejectedEntry) if path.is_file() else iter(())


Line = TypeVar("Line", bound=_Part)


def _lines_of(path: Path, kind: type[Line]) -> Iterator[Line]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            yield _line(line, number, path, kind)


def _line(line: str, number: int, path: Path, kind: type[Line]) -> Line:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the line"
        raise DataError(
            f"Line {number} of {str(path)!r} is no sample: {where}: {problem['msg']}. "
            "Make the missing samples again with `dmix generate --resume`."
        ) from error


def read_info(folder: str | Path) -> SetInfo:
    """What set.json states.

    Raises:
        DataError: it is missing or damaged.
    """
    path = Path(folder) / SET
    try:
        return SetInfo.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {str(path)!r}: {error}. Expected what `dmix generate` writes.") from error
