"""CamVid as SegNet has it: {train,val,test}/*.png, {train,val,test}annot/*.png, and lists {train,val,test}.txt."""

from collections.abc import Iterator
from pathlib import Path

from ..exceptions import DataError
from ..mask_rules import named
from ..masks import MaskFile
from ..options import Split
from ..paths import inside, pictures_in, text_of
from .base import Listing, Record, by_stem

CLASSES = {8: "car", 9: "pedestrian", 10: "bicyclist"}
"""What has a shape of its own; the other values are sky, road and the like, 11 is void."""
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class CamVid:
    """Frames of one drive share the first part of their name and are a group.

    The lists name absolute paths of the machine that they were written on; what counts is the end of each.
    """

    name = "camvid"
    title = "CamVid (SegNet)"
    rule = named("index", CLASSES)
    fallback = False

    def detect(self, root: Path) -> str | None:
        found = [split for split in SPLITS if (root / split).is_dir() and (root / f"{split}annot").is_dir()]
        return ", ".join(f"{split}/ with {split}annot/" for split in found) or None

    def read(self, root: Path) -> Listing:
        listing = Listing([])
        for split in SPLITS:
            table = root / f"{split}.txt"
            if table.is_file():
                self._read_table(root, table, split, listing)
            else:
                self._read_folder(root / split, root / f"{split}annot", split, listing)
        return listing

    def _read_table(self, root: Path, table: Path, split: Split, listing: Listing) -> None:
        for image, mask in lines(table):
            picture, annotation = rerooted(root, image, table), rerooted(root, mask, table)
            if not picture.is_file():
                listing.missing.append(picture)
            elif not annotation.is_file():
                listing.maskless.append(picture)
            else:
                listing.records.append(self._record(picture, annotation, split))

    def _read_folder(self, folder: Path, annotations: Path, split: Split, listing: Listing) -> None:
        masks = by_stem(annotations)
        for image in pictures_in(folder):
            if mask := masks.pop(image.stem, None):
                listing.records.append(self._record(image, mask, split))
            else:
                listing.maskless.append(image)
        listing.orphans.extend(masks.values())

    def _record(self, image: Path, mask: Path, split: Split) -> Record:
        return Record(image, MaskFile(mask, self.rule), group=image.stem.partition("_")[0], split=split)


def lines(table: Path) -> Iterator[tuple[str, str]]:
    """The pairs that a list names.

    Raises:
        DataError: a line that is no pair.
    """
    for number, line in enumerate(text_of(table).splitlines(), 1):
        paths = line.split()
        if len(paths) == 2:
            yield paths[0], paths[1]
        elif paths:
            raise DataError(f"Line {number} of {str(table)!r} has {len(paths)} paths; expected a picture and its mask.")


def rerooted(root: Path, path: str, table: Path) -> Path:
    """A path of another machine below this root: its folder and name."""
    return inside(root, "/".join(path.replace("\\", "/").split("/")[-2:]), table)
