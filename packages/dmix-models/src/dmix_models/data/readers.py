"""Folders of pictures, with or without masks, decoded once into memory."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from dmix_core.errors import DmixError, ImageError
from dmix_core.images import decode, read_image, to_uint8

Pixels = NDArray[np.uint8]

PHOTO_SUFFIXES = (".jpg", ".jpeg")
SUFFIXES = (*PHOTO_SUFFIXES, ".png", ".bmp", ".tif", ".tiff", ".webp")
MASK_SUFFIXES = ("", "_mask")


class DataError(DmixError):
    """A folder of pictures that cannot be trained on."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture.

    Attributes:
        path: the file that it came from.
        pixels: (H, W, 1) uint8 if grey, (H, W, 3) otherwise.
        mask: (H, W) uint8, 255 where the object is; None without a mask.
    """

    path: Path
    pixels: Pixels
    mask: Pixels | None = None

    @property
    def grey(self) -> bool:
        return self.pixels.shape[2] == 1

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[0], self.pixels.shape[1]


# ---- folders ------------------------------------------------------------------------------------------------


def read_images(folder: str | Path) -> list[Picture]:
    """Read every picture below a folder, in the order of their names; files that are masks of others are left out.

    A file is a mask if it lies in `masks/` beside `images/`, is called X_mask.* beside X.*, or is X.png beside X.jpg.

    Raises:
        DataError: no such folder, or no pictures in it.
        ImageError: a picture that cannot be read; the message names it.
    """
    masks, bare = match(folder)
    return [Picture(path, _image(path)) for path in sorted([*masks, *bare])]


def read_pairs(
    folder: str | Path, mask_rule: str = "threshold:127", mask_suffix: str | None = None, skip_empty: bool = False
) -> list[Picture]:
    """Read pictures and their masks, matched by stem: images/X.* with masks/X.*, or X.jpg beside X.png.

    Args:
        mask_rule: which mask values are the object: "threshold:N" (above N), "nonzero" or "index:N" (equal to N;
            of a palette image, the index and not the colour).
        mask_suffix: what a mask's stem has after its picture's; by default nothing or "_mask".
        skip_empty: leave pictures with an empty mask out; by default they are refused.

    Raises:
        DataError: ambiguous pairs, pictures without a mask, sizes that differ, empty masks.
        ImageError: a file that cannot be read; the message names it.
    """
    masks, bare = match(folder, mask_suffix)
    if bare or not masks:
        raise DataError(
            f"{len(bare)} pictures in {str(folder)!r} have no mask{_some(bare)}. Expected images/X.* with masks/X.*, "
            "X.jpg beside X.png, or X.* beside X_mask.*; move the others away, or name the mask_suffix."
        )
    pictures = [_pair(image, mask, mask_rule) for image, mask in sorted(masks.items())]
    empty = [masks[picture.path] for picture in pictures if picture.mask is not None and not picture.mask.any()]
    if empty and not (skip_empty and len(empty) < len(pictures)):
        raise DataError(
            f"{len(empty)} of {len(pictures)} masks show no object under the rule {mask_rule!r}{_some(empty)}. "
            "Try another mask_rule (nonzero, threshold:N, index:N), skip_empty, or move these pictures away."
        )
    return [picture for picture in pictures if picture.mask is not None and picture.mask.any()]


def match(folder: str | Path, mask_suffix: str | None = None) -> tuple[dict[Path, Path], list[Path]]:
    """Each picture's mask, and the pictures without one."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{str(folder)!r} is not a folder; expected one with pictures ({', '.join(SUFFIXES)}).")
    suffixes = MASK_SUFFIXES if mask_suffix is None else (mask_suffix,)
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        images = _files(folder / "images")
        masks = _beside(images, folder / "images", _files(folder / "masks"), folder / "masks", suffixes)
    else:
        images = _files(folder)
        masks = _beside(images, folder, images, folder, suffixes)
    taken = set(masks.values())
    bare = [image for image in images if image not in masks and image not in taken]
    if not images:
        raise DataError(f"No pictures below {str(folder)!r}; expected files ending in {', '.join(SUFFIXES)}.")
    return masks, bare


def _files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in files if not path.name.startswith("."))


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
                f"{image.name!r} could have several masks{_some(fitting)}. Expected one; name the mask_suffix."
            )
        if fitting:
            found[image] = fitting[0]
    uses = Counter(found.values())
    sharing = [image for image, mask in found.items() if uses[mask] > 1]
    if sharing:
        raise DataError(f"One mask fits several pictures{_some(sharing)}. Expected one for each; move others away.")
    return found


def _may_mask(image: Path, mask: Path) -> bool:
    """Of two files of one name in one folder, the photograph is the picture and the lossless one is its mask."""
    if image.with_suffix("") != mask.with_suffix(""):
        return True
    return image.suffix.lower() in PHOTO_SUFFIXES and mask.suffix.lower() not in PHOTO_SUFFIXES


def _some(paths: Sequence[Path]) -> str:
    shown = ", ".join(path.name for path in paths[:5])
    return f": {shown}{', ...' if len(paths) > 5 else ''}" if paths else ""


# ---- files --------------------------------------------------------------------------------------------------


def _pair(image: Path, mask: Path, rule: str) -> Picture:
    pixels, values = _image(image), _mask(mask)
    if values.shape != pixels.shape[:2]:
        raise DataError(
            f"{image.name!r} is {pixels.shape[1]}x{pixels.shape[0]} pixels, but its mask {mask.name!r} is "
            f"{values.shape[1]}x{values.shape[0]}. Expected equal sizes; export the mask again from this picture."
        )
    return Picture(image, pixels, 255 * apply_rule(values, rule).astype(np.uint8))


def apply_rule(values: NDArray[np.int64], rule: str) -> NDArray[np.bool_]:
    """The pixels of a mask that a rule calls the object: "threshold:N", "nonzero" or "index:N"."""
    kind, number = (re.fullmatch(r"(?:(threshold|index):(\d+)|nonzero)", rule) or _unknown_rule(rule)).groups()
    if kind == "index":
        return values == int(number)
    return values > int(number or 0)


def _unknown_rule(rule: str) -> re.Match[str]:
    raise DataError(f"Unknown mask rule {rule!r}; expected 'threshold:127' (values above 127), 'nonzero' or 'index:8'.")


def _image(path: Path) -> Pixels:
    pixels = rearrange(to_uint8(read_image(path)), "c h w -> h w c").numpy()
    grey = bool((pixels == pixels[..., :1]).all())
    return np.ascontiguousarray(pixels[..., :1] if grey else pixels)


def _mask(path: Path) -> NDArray[np.int64]:
    image = decode(path)
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    if image.mode == "RGB" and (values == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise ImageError(
            f"The mask {str(path)!r} has Pillow's mode {image.mode!r}; expected one channel: "
            "grey, palette or black and white. Save it as a grey PNG."
        )
    return values.astype(np.int64)
