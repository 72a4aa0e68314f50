"""TikTok dancing: CLIP/images/0001.png and CLIP/masks/0001.png, often in a second folder TikTok_dataset/."""

from pathlib import Path

from ..masks import MaskFile
from ..paths import folders_in
from .base import Listing, Record, by_stem


class TikTok:
    """The frames of a clip are nearly the same and are a group."""

    name = "tiktok"
    title = "TikTok dancing"
    rule = "threshold:127"
    fallback = False

    def detect(self, root: Path) -> str | None:
        found = clips(root)
        return f"images/ and masks/ in {len(found)} numbered folders" if found else None

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        for clip in clips(root):
            masks = by_stem(clip / "masks")
            for stem, image in by_stem(clip / "images").items():
                if mask := masks.pop(stem, None):
                    listing.records.append(Record(image, MaskFile(mask, self.rule), "person", f"clip {clip.name}"))
                else:
                    listing.maskless.append(image)
            listing.orphans.extend(masks.values())
        return listing


def clips(root: Path) -> list[Path]:
    nested = root / "TikTok_dataset"
    return [
        folder
        for each in (root, nested)
        if each.is_dir()
        for folder in folders_in(each)
        if folder.name.isdigit() and (folder / "images").is_dir() and (folder / "masks").is_dir()
    ]
