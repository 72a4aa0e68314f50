"""AnomalyDiffusion's generated data: NAME/KIND/image/0.jpg with NAME/KIND/mask/0.jpg, also below PART/."""

from pathlib import Path
from typing import get_args

from ..masks import MaskFile
from ..options import Split
from .base import Listing, Record, by_stem


class AnomalyDiffusion:
    """The folder of a kind names its class; folders called train, val and test above it are the parts."""

    name = "anomalydiffusion"
    title = "AnomalyDiffusion's generated data"
    rule = "threshold:127"
    fallback = False

    def detect(self, root: Path) -> str | None:
        found = _kinds(root)
        return f"{found[0].relative_to(root).as_posix()}/ with image/ and mask/" if found else None

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        for kind in _kinds(root):
            masks = by_stem(kind / "mask")
            split = next((part for part in get_args(Split) if part in kind.relative_to(root).parts), None)
            for stem, image in by_stem(kind / "image").items():
                if mask := masks.pop(stem, None):
                    listing.records.append(Record(image, MaskFile(mask, self.rule), kind.name, split=split))
                else:
                    listing.maskless.append(image)
            listing.orphans.extend(masks.values())
        return listing


def _kinds(root: Path) -> list[Path]:
    """The folders KIND with image/ and mask/, two or three below the root."""
    masks = [*root.glob("*/*/mask"), *root.glob("*/*/*/mask")]
    return sorted(path.parent for path in masks if path.is_dir() and (path.parent / "image").is_dir())
