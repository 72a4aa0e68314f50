"""Files below the folder of a data set."""

from pathlib import Path

from .exceptions import DataError

PHOTO_SUFFIXES = (".jpg", ".jpeg")
SUFFIXES = (*PHOTO_SUFFIXES, ".png", ".bmp", ".tif", ".tiff", ".webp")


def pictures_below(folder: Path) -> list[Path]:
    """All picture files below a folder, in the order of their names; hidden ones are left out."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in files if not path.name.startswith("."))


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder itself, in the order of their names; none if there is no such folder."""
    files = (path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in files if not path.name.startswith("."))


def folders_in(folder: Path) -> list[Path]:
    """The folders just below a folder, in the order of their names; hidden ones are left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def inside(root: Path, relative: str, listed_in: Path) -> Path:
    """The path that a list names below a root; whether it exists can be asked without an exception.

    Raises:
        DataError: the path leads out of the root, or no file can be called so.
    """
    path = root / relative
    try:
        path.is_file()
        leads_out = not path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError) as error:  # a name that is too long, NUL, text that is not Unicode
        raise DataError(
            f"{str(listed_in)!r} names {relative[:80]!r}, which cannot be a path ({error}). Expected paths below "
            f"{str(root)!r}."
        ) from error
    if leads_out:
        raise DataError(
            f"{str(listed_in)!r} names {relative!r}, which is outside of {str(root)!r}. Expected paths below it."
        )
    return path


def text_of(path: Path) -> str:
    """A text file's content.

    Raises:
        DataError: it is no regular file, or cannot be read as UTF-8.
    """
    if not path.is_file():  # a pipe would be waited for
        raise DataError(f"{str(path)!r} is missing, or a folder, pipe or device. Expected a text file in UTF-8.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {str(path)!r} ({error}). Expected a text file in UTF-8.") from error
