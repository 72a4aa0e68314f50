"""VisA as published: OBJECT/Data/Images/{Normal,Anomaly}/*.JPG, OBJECT/Data/Masks/Anomaly/*.png, split_csv/*.csv."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from dmix_core.errors import did_you_mean

from ..exceptions import DataError
from ..masks import MaskFile
from ..options import Split
from ..paths import folders_in, inside, pictures_in, text_of
from .base import Listing, Record, by_stem

COLUMNS = ["object", "split", "label", "image", "mask"]
SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
DEFAULT_SPLIT = "2cls_fewshot"


@dataclass(frozen=True)
class VisA:
    """The values of a mask are numbers of kinds of anomaly, 1 and up, so that all above 0 is the object.

    Attributes:
        split_file: which of split_csv/*.csv divides the data; the default is one with anomalies in its training part.
            Without that file, and for the folder of one object, the data is not divided.
    """

    split_file: str = DEFAULT_SPLIT
    name = "visa"
    title = "VisA as published"
    rule = "nonzero"
    fallback = False

    def detect(self, root: Path) -> str | None:
        found = things(root)
        return f"Data/Images/ in {', '.join(folder.resolve().name for folder in found)}" if found else None

    def read(self, root: Path) -> Listing:
        table = root / "split_csv" / f"{self.split_file}.csv"
        if table.is_file():
            return self._read_table(root, table)
        if self.split_file != DEFAULT_SPLIT:
            known = [path.stem for path in sorted(table.parent.glob("*.csv"))]
            raise DataError(
                f"{str(root)!r} has no split file {self.split_file!r}.{did_you_mean(self.split_file, known)} "
                f"Expected one of: {', '.join(known) or 'none'}."
            )
        listing = Listing([])
        for thing in things(root):
            self._add(thing, listing)
        return listing

    def _read_table(self, root: Path, table: Path) -> Listing:
        listing = Listing([])
        for row in rows(table):
            image, mask = inside(root, row["image"], table), inside(root, row["mask"], table)
            split, normal = SPLITS[row["split"]], row["label"] == "normal"
            if not image.is_file():
                listing.missing.append(image)
            elif normal:
                listing.records.append(Record(image, split=split, normal=True))
            elif row["mask"] and mask.is_file():
                source = MaskFile(mask, self.rule)
                listing.records.append(Record(image, source, f"{row['object']}/anomaly", split=split))
            else:
                listing.maskless.append(image)
        return listing

    def _add(self, thing: Path, listing: Listing) -> None:
        data, class_name = thing / "Data", f"{thing.resolve().name}/anomaly"
        listing.records.extend(Record(path, normal=True) for path in pictures_in(data / "Images/Normal"))
        masks = by_stem(data / "Masks/Anomaly")
        for stem, image in by_stem(data / "Images/Anomaly").items():
            if mask := masks.pop(stem, None):
                listing.records.append(Record(image, MaskFile(mask, self.rule), class_name))
            else:
                listing.maskless.append(image)
        listing.orphans.extend(masks.values())


def things(root: Path) -> list[Path]:
    return [folder for folder in (root, *folders_in(root)) if (folder / "Data" / "Images").is_dir()]


def rows(table: Path) -> Iterator[dict[str, str]]:
    """The lines of a split file.

    Raises:
        DataError: other columns, or a split that is none.
    """
    try:
        header, *lines = csv.reader(text_of(table).splitlines() or [""])
    except csv.Error as error:  # such as a field that is far too long
        raise DataError(
            f"Cannot understand {str(table)!r} ({error}). Expected {','.join(COLUMNS)} in each line."
        ) from error
    if header != COLUMNS:
        raise DataError(f"{str(table)!r} has the columns {header!r:.200}; expected {','.join(COLUMNS)}.")
    for number, line in enumerate(lines, 2):
        row = dict(zip_longest(COLUMNS, line[: len(COLUMNS)], fillvalue=""))
        if row["split"] not in SPLITS or row["label"] not in ("normal", "anomaly"):
            raise DataError(
                f"Line {number} of {str(table)!r} states split {row['split']!r:.40} and label {row['label']!r:.40}; "
                "expected train or test, and normal or anomaly."
            )
        yield row
