"""Files are written whole or not at all."""

import errno
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path

from .errors import WriteError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.dmix-part")


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Write `data` to `path` under a temporary name in the same folder, flush it to disk, then rename.

    Raises:
        WriteError: the file cannot be written; what was there before still is.
    """
    path = Path(path)
    try:
        _write_and_rename(path, data)
    except OSError as error:
        raise WriteError(
            f"Cannot write {str(path)!r} ({error.strerror}). "
            "Expected a file name in a folder that exists, can be written to and has free space."
        ) from error
    return path


def _write_and_rename(path: Path, data: bytes) -> None:
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is there and is no ordinary file")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.dmix-part")
    try:
        with os.fdopen(os.open(temporary, _NEW, 0o666), "wb") as file:  # not tempfile's, which ignores the umask
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_temporaries(folder: Path) -> list[Path]:
    """Remove what a killed `write_atomically` left in this folder itself, known by its name; returns what was there."""
    left = [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name) and not path.is_dir()]
    for path in left:
        path.unlink(missing_ok=True)
    return left


def remove_all_temporaries(folder: Path) -> None:
    """Do the same in a folder and all folders in it."""
    for each in (folder, *folder.rglob("*")):
        if each.is_dir():
            remove_temporaries(each)


def read_limited(path: str | Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes; pipes and devices, which may never end, are refused.

    Raises:
        OSError: the file cannot be read, is not a regular one or is larger; `strerror` states which.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes, the limit for such a file", str(path))
    return data


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer would hold `open` for ever


def writable_folder(path: str | Path) -> Path:
    """Create `path` if need be and prove that a file can be written there, before any work is done.

    Raises:
        WriteError: the folder cannot be created or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise WriteError(
            f"Cannot write to the output folder {str(path)!r} ({error.strerror}). "
            "Expected a folder that exists or can be created; try another one."
        ) from error
    return path


def sync_folder(folder: Path) -> None:
    """Flush to disk which files a folder has, so that a loss of power does not undo a rename."""
    if os.name == "nt":  # no folder can be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
