"""KITTI: training/image_2/*.png with label_2/ (objects) or instance/ (semantics), testing/image_2/*.png."""

from pathlib import Path

from ..mask_rules import named
from ..masks import MaskFile
from ..options import Split
from ..paths import pictures_in
from .base import Listing, Record, by_stem

CLASSES = {
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
SPLITS: dict[str, Split] = {"training": "train", "testing": "test"}


class KITTI:
    """The object set has boxes, not masks, and is read as pictures alone; the semantics set has 16-bit instances."""

    name = "kitti"
    title = "KITTI objects, KITTI semantics"
    rule = named("instance16", CLASSES)
    fallback = False

    def detect(self, root: Path) -> str | None:
        found = [f"{part}/image_2" for part in SPLITS if (root / part / "image_2").is_dir()]
        found += ["training/instance"] if found and (root / "training/instance").is_dir() else []
        return ", ".join(found) or None

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        for part, split in SPLITS.items():
            masks = by_stem(root / part / "instance")
            with_masks = bool(masks)
            for image in pictures_in(root / part / "image_2"):
                mask = masks.pop(image.stem, None)
                if with_masks and mask is None:
                    listing.maskless.append(image)
                else:
                    source = MaskFile(mask, self.rule) if mask else None
                    listing.records.append(Record(image, source, split=split))
            listing.orphans.extend(masks.values())
        return listing
