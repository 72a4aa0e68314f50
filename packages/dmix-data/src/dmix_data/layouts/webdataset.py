"""WebDataset's shards of dmix, unpacked: NAME.png with NAME.mask.png and NAME.json in one folder."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..exceptions import DataError
from ..masks import NumberedObjects
from ..paths import pictures_in, text_of
from .base import Listing, Record

MASK = ".mask.png"


class _Facts(BaseModel):
    """What is read of the file of a sample; it may hold more."""

    group: str
    objects: dict[str, list[Any]]


class WebDataset:
    """A tar file is unpacked first (`tar xf train-000000.tar -C DIR`); each object has a value in the mask."""

    name = "webdataset"
    title = "shards of dmix export --format webdataset, unpacked"
    rule = NumberedObjects.rule
    fallback = False

    def detect(self, root: Path) -> str | None:
        first = min(root.glob(f"*{MASK}"), default=None)
        if first is None or not _facts_file(first).is_file():
            return None
        return f"{first.name} with {_facts_file(first).name}"

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        masks = {path.name.removesuffix(MASK): path for path in sorted(root.glob(f"*{MASK}"))}
        for image in pictures_in(root):
            if image.name.endswith(MASK):
                continue
            if mask := masks.pop(image.stem, None):
                listing.records.append(_record(image, mask))
            else:
                listing.maskless.append(image)
        listing.orphans.extend(masks.values())
        return listing


def _facts_file(mask: Path) -> Path:
    return mask.with_name(f"{mask.name.removesuffix(MASK)}.json")


def _record(image: Path, mask: Path) -> Record:
    path = _facts_file(mask)
    try:
        facts = _Facts.model_validate_json(text_of(path))
        classes = tuple(zip(facts.objects["value"], facts.objects["class"], strict=True))
    except (ValidationError, KeyError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} cannot be understood. Expected group, and objects with value and class, as "
            "`dmix export --format webdataset` writes them; export the set again."
        ) from error
    return Record(image, NumberedObjects(mask, classes) if classes else None, group=facts.group, normal=not classes)
