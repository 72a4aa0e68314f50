"""A set as `dmix generate` writes it: manifest.jsonl, set.json, images/, masks/."""

from pathlib import Path

from ..generated_set import MANIFEST, SET, SampleEntry, entries
from ..masks import NumberedObjects
from ..paths import inside
from .base import Listing, Record


class Generated:
    """Each object is one, whole whatever its parts; twins and near-misses are pictures without an object."""

    name = "generated"
    title = "sets of dmix generate"
    rule = NumberedObjects.rule
    fallback = False

    def detect(self, root: Path) -> str | None:
        return f"{MANIFEST} and {SET}" if (root / MANIFEST).is_file() and (root / SET).is_file() else None

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        for entry in entries(root):
            image, mask = (inside(root, name, root / MANIFEST) for name in (entry.image, entry.mask))
            if missing := [path for path in (image, mask) if not path.is_file()]:
                listing.missing.extend(missing)
            else:
                listing.records.append(_record(entry, image, mask))
        return listing


def _record(entry: SampleEntry, image: Path, mask: Path) -> Record:
    classes = tuple((each.value, each.class_name) for each in entry.objects if each.area)
    source = NumberedObjects(mask, classes) if classes else None
    return Record(image, source, group=entry.group, split=entry.split, normal=not classes)
