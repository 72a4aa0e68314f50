"""Pictures with masks of classes: images/, masks/ and classes.txt, whose lines name the values 0, 1, ..."""

from pathlib import Path
from typing import get_args

from ..exceptions import DataError
from ..mask_rules import named
from ..masks import MaskFile
from ..options import Split
from ..paths import pictures_below, text_of
from .base import Listing, Record

CLASSES = "classes.txt"


class Semantic:
    """The first class is the background; folders called train, val and test below images/ are the parts."""

    name = "semantic"
    title = "pictures with masks of classes"
    rule = "index:{the lines of classes.txt}"
    fallback = False

    def detect(self, root: Path) -> str | None:
        there = (root / CLASSES).is_file() and (root / "images").is_dir() and (root / "masks").is_dir()
        return f"{CLASSES}, images/ and masks/" if there else None

    def read(self, root: Path) -> Listing:
        rule, listing = _rule(root), Listing([])
        masks = {path.relative_to(root / "masks").with_suffix(""): path for path in pictures_below(root / "masks")}
        for image in pictures_below(root / "images"):
            place = image.relative_to(root / "images")
            if mask := masks.pop(place.with_suffix(""), None):
                split = next((part for part in get_args(Split) if part == place.parts[0]), None)
                listing.records.append(Record(image, MaskFile(mask, rule), split=split))
            else:
                listing.maskless.append(image)
        listing.orphans.extend(masks.values())
        return listing


def _rule(root: Path) -> str:
    names = [name.strip() for name in text_of(root / CLASSES).splitlines()]
    strange = [name for name in names[1:] if not name or set(",:{}") & set(name)]
    if len(names) < 2 or strange:
        raise DataError(
            f"{str(root / CLASSES)!r} has {len(names)} lines{f', one of them {strange[0]!r}' if strange else ''}; "
            "expected the background's name and those of the classes, a line each, without ',' and ':'."
        )
    return named("index", dict(enumerate(names[1:], 1)))
