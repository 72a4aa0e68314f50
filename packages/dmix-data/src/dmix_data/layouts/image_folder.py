"""Pictures without masks, a folder for each class or none: backgrounds."""

from pathlib import Path

from ..paths import pictures_below
from .base import Listing, Record
from .image_mask import match


class ImageFolder:
    """Any folder with pictures and no masks; the folders just below it are the classes."""

    name = "image-folder"
    title = "ImageFolder: pictures without masks"
    rule = "none"
    fallback = True

    def detect(self, root: Path) -> str | None:
        pictures = pictures_below(root)
        pairs = match(root) if pictures else None
        if not pairs or pairs.masks or pairs.orphans:
            return None
        return f"{len(pictures)} pictures, no masks"

    def read(self, root: Path) -> Listing:
        paths = (path.relative_to(root) for path in pictures_below(root))
        return Listing(
            [Record(root / path, class_name=path.parts[0] if len(path.parts) > 1 else None) for path in paths]
        )
