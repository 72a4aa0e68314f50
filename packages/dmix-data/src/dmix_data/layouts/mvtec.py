"""MVTec AD and those laid out like it: CATEGORY/{train,test}/KIND/*.png, CATEGORY/ground_truth/KIND/*_mask.png."""

from pathlib import Path

from ..masks import MaskFile
from ..options import Split
from ..paths import folders_in, pictures_in
from .base import Listing, Record, by_stem

GOOD = "good"
SPLITS: tuple[Split, ...] = ("train", "test")


class MVTec:
    """One category, or a folder of categories, whose classes are then called CATEGORY/KIND.

    The masks of MVTec AD and MPDD are called 000_mask.png, those of the converted VisA 000.png; all are 0 / 255.
    """

    name = "mvtec"
    title = "MVTec AD, MPDD, converted VisA"
    rule = "threshold:127"
    fallback = False

    def detect(self, root: Path) -> str | None:
        found = categories(root)
        if not found:
            return None
        where = "" if found == [root] else f" in {len(found)} folders, such as {found[0].name}/"
        return f"train/good/ and ground_truth/{where}"

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        for category in categories(root):
            self._add(category, "" if category == root else f"{category.name}/", listing)
        return listing

    def _add(self, category: Path, prefix: str, listing: Listing) -> None:
        for split in SPLITS:
            for kind in _folders(category / split):
                if kind.name == GOOD:
                    listing.records.extend(Record(path, split=split, normal=True) for path in pictures_in(kind))
                else:
                    self._add_kind(kind, category / "ground_truth" / kind.name, f"{prefix}{kind.name}", split, listing)
        kinds = {kind.name for split in SPLITS for kind in _folders(category / split)}
        for masks in _folders(category / "ground_truth"):
            if masks.name not in kinds:
                listing.orphans.extend(pictures_in(masks))

    def _add_kind(self, kind: Path, ground_truth: Path, class_name: str, split: Split, listing: Listing) -> None:
        masks = by_stem(ground_truth, "_mask")
        for stem, image in by_stem(kind).items():
            if mask := masks.pop(stem, None):
                listing.records.append(Record(image, MaskFile(mask, self.rule), class_name, split=split))
            else:
                listing.maskless.append(image)
        listing.orphans.extend(masks.values())


def categories(root: Path) -> list[Path]:
    return [folder for folder in (root, *folders_in(root)) if _is_category(folder)]


def _is_category(folder: Path) -> bool:
    return (folder / "train" / GOOD).is_dir() and ((folder / "ground_truth").is_dir() or (folder / "test").is_dir())


def _folders(folder: Path) -> list[Path]:
    return folders_in(folder) if folder.is_dir() else []
