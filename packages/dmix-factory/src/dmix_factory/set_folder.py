"""The folder of a set while it is written: a sample's files first, then its line of the manifest."""

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel

from dmix_core.errors import DmixError, WriteError
from dmix_core.files import remove_temporaries, sync_folder, writable_folder, write_atomically
from dmix_core.folder_lock import LOCK, FolderLock
from dmix_data.generated_set import MANIFEST, REJECTED, SET, SetInfo, entries, read_info, rejected

from .units import Unit

FOLDERS = ("images", "masks")


class SetError(DmixError):
    """A folder that holds another set, or a damaged one."""


class SetFolder:
    """Takes units in the order of the plan, so that the manifest is always the beginning of the finished one.

    Args:
        path: the folder, new or empty, or with `resume` one of the same settings.
        info: what set.json states.
        resume: go on with what is there.
        together: how many samples a unit has; what a killed process left of a unit is taken away.

    Attributes:
        last: the number of the last sample that is committed; -1 without any.

    Raises:
        SetError: the folder holds something else.
        WriteError: it cannot be written to, or another process writes to it.
    """

    def __init__(self, path: str | Path, info: SetInfo, resume: bool = False, together: int = 1) -> None:
        self.path = Path(path)
        _check_free(self.path, info, resume)
        for name in (".", *FOLDERS):
            writable_folder(self.path / name)
        self._lock = FolderLock(self.path, "use --shard")
        try:
            for name in (".", *FOLDERS):
                remove_temporaries(self.path / name)
            write_atomically(self.path / SET, (info.model_dump_json(indent=2) + "\n").encode())
            self.last = self._tidied(together)
        except BaseException:
            self.close()
            raise

    def commit(self, unit: Unit) -> None:
        """Add a unit whose files are written: its lines, which are flushed to disk.

        Raises:
            WriteError: the disk is full or the folder cannot be written to.
        """
        if unit.rejected:
            append_lines(self.path / REJECTED, unit.rejected)
        append_lines(self.path / MANIFEST, unit.entries)
        self.last = unit.entries[-1].number

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def _tidied(self, together: int) -> int:
        """Take away what a killed process left of a line or a unit; returns the last number that stays."""
        cut(self.path / MANIFEST, together)
        last = max((entry.number for entry in entries(self.path)), default=-1)
        if (self.path / REJECTED).exists():
            cut(self.path / REJECTED)
            known = [each for each in rejected(self.path) if each.number <= last]
            write_atomically(self.path / REJECTED, _lines(known))
        return last


def write_files(folder: Path, unit: Unit) -> Unit:
    """Write a unit's files, each whole or not at all; returns the unit without them, which may then be committed.

    Raises:
        WriteError: one cannot be written.
    """
    for path, data in unit.files.items():
        write_atomically(folder / path, data)
    for name in FOLDERS:
        sync_folder(folder / name)
    return unit.without_files()


def _lines(records: Iterable[BaseModel]) -> bytes:
    return b"".join(record.model_dump_json().encode() + b"\n" for record in records)


def append_lines(path: Path, records: Iterable[BaseModel]) -> None:
    """Add a line of JSON for each record, flushed to disk.

    Raises:
        WriteError: the disk is full or the file cannot be written to.
    """
    try:
        with path.open("ab") as file:
            file.write(_lines(records))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise WriteError(
            f"Cannot write {str(path)!r} ({error.strerror}). Free space, then go on with --resume."
        ) from error


def cut(path: Path, together: int = 1) -> None:
    """Cut a file, which is made if it is not there, behind its last whole group of so many lines."""
    end = position = 0
    with path.open("a+b") as file:
        file.seek(0)
        for number, line in enumerate(file, 1):
            position += len(line)
            if number % together == 0 and line.endswith(b"\n"):
                end = position
        file.truncate(end)


def _check_free(path: Path, info: SetInfo, resume: bool) -> None:
    if resume and (path / SET).is_file():
        if read_info(path).recipe != info.recipe:
            raise SetError(
                f"{str(path)!r} was made with other settings, photographs or models; expected the same ones to resume. "
                f"They stand in {SET}; choose another folder for a new set."
            )
    elif path.is_dir() and any(map(_holds_something, path.iterdir())):
        raise SetError(
            f"{str(path)!r} is not empty; expected a new folder. Go on with a set that was begun by --resume, "
            "or choose another folder."
        )


def _holds_something(child: Path) -> bool:
    """Whether what lies in a set's folder is more than what a run leaves there that could write nothing."""
    return child.name != LOCK and not (child.name in FOLDERS and child.is_dir() and not any(child.iterdir()))
