"""A folder of crops as `dmix data crops` writes it: RGBA pictures whose alpha is the mask, listed in crops.jsonl."""

from pathlib import Path

from ..manifest import MANIFEST, read_manifest
from ..masks import Alpha
from ..paths import inside
from .base import Listing, Record


class CropFolder:
    """Each crop is of one object, whole whatever its parts."""

    name = "crops"
    title = "crops of dmix"
    rule = "alpha"
    fallback = False

    def detect(self, root: Path) -> str | None:
        return MANIFEST if (root / MANIFEST).is_file() else None

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        for entry in read_manifest(root / MANIFEST):
            path = inside(root, entry.file, root / MANIFEST)
            if path.is_file():
                listing.records.append(Record(path, Alpha(path), entry.class_name, entry.group, entry.split))
            else:
                listing.missing.append(path)
        return listing
