"""Pictures and masks matched by their names: images/X.* with masks/X.*, X.jpg beside X.png, X.* beside X_mask.*."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..exceptions import DataError, some
from ..masks import MaskFile
from ..paths import PHOTO_SUFFIXES, folders_in, pictures_below
from .base import Listing, Record, no_pictures

MASK_SUFFIXES = ("", "_mask", "_label", "_gt", "_GT")
MASK_FOLDERS = ("masks", "mask")


@dataclass(frozen=True)
class ImageMask:
    """Any folder with pictures and masks; of masks/ beside exactly one folder of pictures, those are the pictures.

    Attributes:
        mask_suffix: what a mask's stem has after its picture's; None: any of MASK_SUFFIXES.
    """

    mask_suffix: str | None = None
    name = "image-mask"
    title = "pictures and masks, such as X-ray sets"
    rule = "threshold:127"
    fallback = True

    def detect(self, root: Path) -> str | None:
        pairs = match(root, self.mask_suffix) if pictures_below(root) else None
        if not pairs or not (pairs.masks or pairs.orphans):
            return None
        return f"{len(pairs.masks)} pictures with masks, matched by name"

    def read(self, root: Path) -> Listing:
        masks, bare, orphans = match(root, self.mask_suffix)
        records = [Record(image, MaskFile(mask, self.rule)) for image, mask in masks.items()]
        records += [Record(image) for image in bare]
        return Listing(sorted(records, key=lambda record: record.image), maskless=bare, orphans=orphans)


class Pairs(NamedTuple):
    """Each picture's mask, the pictures without one, the masks without a picture."""

    masks: dict[Path, Path]
    bare: list[Path]
    orphans: list[Path]


def match(folder: Path, mask_suffix: str | None = None) -> Pairs:
    """Match the pictures and masks below a folder by their names.

    Raises:
        DataError: no pictures, or pairs that are ambiguous.
    """
    suffixes = MASK_SUFFIXES if mask_suffix is None else (mask_suffix,)
    apart = _apart(folder)
    if apart:
        (image_root, mask_root), images = apart, pictures_below(apart[0])
        masks = pictures_below(mask_root)
        found = _beside(images, image_root, masks, mask_root, suffixes)
        orphans = sorted(set(masks) - set(found.values()))
    else:
        images = pictures_below(folder)
        found = _beside(images, folder, images, folder, suffixes)
        orphans = []
    if not (images or orphans):
        raise no_pictures(folder)
    taken = set(found.values())
    return Pairs(found, [image for image in images if image not in found and image not in taken], orphans)


def _apart(folder: Path) -> tuple[Path, Path] | None:
    """The folder of pictures and the folder of masks, if these are two."""
    mask_roots = [folder / name for name in MASK_FOLDERS if (folder / name).is_dir()]
    if len(mask_roots) != 1:
        return None
    if (folder / "images").is_dir() and (pictures_below(folder / "images") or pictures_below(mask_roots[0])):
        return folder / "images", mask_roots[0]
    others = [each for each in folders_in(folder) if each not in mask_roots and pictures_below(each)]
    return (others[0], mask_roots[0]) if len(others) == 1 else None


def _beside(
    images: Sequence[Path], image_root: Path, masks: Sequence[Path], mask_root: Path, suffixes: Iterable[str]
) -> dict[Path, Path]:
    """Match pictures and masks whose paths below their roots differ by the mask's suffix."""
    candidates = defaultdict(list)
    for mask in masks:
        candidates[mask.relative_to(mask_root).with_suffix("").as_posix()].append(mask)
    found: dict[Path, Path] = {}
    for image in images:
        stem = image.relative_to(image_root).with_suffix("").as_posix()
        fitting = [mask for suffix in suffixes for mask in candidates[stem + suffix] if _may_mask(image, mask)]
        if len(fitting) > 1:
            raise DataError(
                f"{image.name!r} could have several masks{some(fitting)}. Expected one; name the mask_suffix."
            )
        if fitting:
            found[image] = fitting[0]
    uses = Counter(found.values())
    sharing = [image for image, mask in found.items() if uses[mask] > 1]
    if sharing:
        raise DataError(f"One mask fits several pictures{some(sharing)}. Expected one for each; move others away.")
    return found


def _may_mask(image: Path, mask: Path) -> bool:
    """Of two files of one name in one folder, the photograph is the picture and the lossless one is its mask."""
    if image.with_suffix("") != mask.with_suffix(""):
        return True
    return image.suffix.lower() in PHOTO_SUFFIXES and mask.suffix.lower() not in PHOTO_SUFFIXES
