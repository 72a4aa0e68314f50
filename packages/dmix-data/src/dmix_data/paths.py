"""Picture files below a folder, and what goes wrong with them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmix_core.errors import DmixError

Pixels = NDArray[np.uint8]

PHOTO_SUFFIXES = (".jpg", ".jpeg")
SUFFIXES = (*PHOTO_SUFFIXES, ".png", ".bmp", ".tif", ".tiff", ".webp")

SHOWN = 5  # names in a message


class DataError(DmixError):
    """A folder of pictures that cannot be trained on."""


def pictures_below(folder: Path) -> list[Path]:
    """All picture files below a folder, in the order of their names; hidden ones are left out."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in files if not path.name.startswith("."))


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder itself, in the order of their names; none if there is no such folder."""
    files = (path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in files if not path.name.startswith("."))


def folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def inside(root: Path, relative: str, told_by: Path) -> Path:
    """The path that a list names below a root.

    Raises:
        DataError: the path leads out of the root.
    """
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(
            f"{str(told_by)!r} names {relative!r}, which is outside of {str(root)!r}. Expected paths below it."
        )
    return path


def text_of(path: Path) -> str:
    """A text file's content.

    Raises:
        DataError: it cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {str(path)!r} ({error}). Expected a text file in UTF-8.") from error


def some(paths: Sequence[Path]) -> str:
    """': a.png, b.png, ...' for a message."""
    names = ", ".join(path.name for path in paths[:SHOWN])
    return f": {names}{', ...' if len(paths) > SHOWN else ''}" if paths else ""
