"""The folder of a set while it is written: a sample's files first, then its line of the manifest."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from dmix_core.errors import DmixError, WriteError
from dmix_core.files import remove_temporaries, sync_folder, writable_folder, write_atomically
from dmix_data.generated_set import MANIFEST, SET, SampleEntry, SetInfo, entries, read_info

from .making import Made

FOLDERS = ("images", "masks")


class SetError(DmixError):
    """A folder that holds another set, or a damaged one."""


class SetFolder:
    """Takes samples in the order of the plan, so that the manifest is always the beginning of the finished one.

    Args:
        path: the folder, new or empty, or with `resume` one of the same settings.
        info: what set.json states.
        resume: go on with what is there.

    Attributes:
        last: the number of the last sample that is committed; -1 without any.

    Raises:
        SetError: the folder holds something else, or another process writes to it.
        WriteError: it cannot be written to.
    """

    def __init__(self, path: str | Path, info: SetInfo, resume: bool = False) -> None:
        self.path, self.info = Path(path), info
        _check_free(self.path, info, resume)
        for name in (".", *FOLDERS):
            remove_temporaries(writable_folder(self.path / name))
        self._lock = FileLock(self.path / ".lock")
        self._hold()
        write_atomically(self.path / SET, (info.model_dump_json(indent=2) + "\n").encode())
        self._manifest = self.path / MANIFEST
        self._cut_torn_line()
        self.last = -1
        for entry in entries(self.path):
            self.last = entry.number
        self._file = self._manifest.open("ab")

    def commit(self, entry: SampleEntry) -> None:
        """Add a sample whose files are written, and flush the line to disk."""
        try:
            self._file.write(entry.model_dump_json().encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise WriteError(
                f"Cannot write {str(self._manifest)!r} ({error.strerror}). Free space, then go on with --resume."
            ) from error
        self.last = entry.number

    def close(self) -> None:
        """Let go of the folder."""
        self._file.close()
        self._lock.release()
        (self.path / ".lock").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def _hold(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise SetError(
                f"Another process writes to {str(self.path)!r}; expected one at a time. Wait for it, or use --shard."
            ) from error

    def _cut_torn_line(self) -> None:
        """Remove what a killed process left of a line."""
        content = self._manifest.read_bytes() if self._manifest.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content or not self._manifest.exists():
            write_atomically(self._manifest, whole)


def write_files(folder: Path, made: Made) -> SampleEntry:
    """Write a sample's files, each whole or not at all; returns its entry, which may then be committed.

    Raises:
        WriteError: one cannot be written.
    """
    for path, data in made.files.items():
        write_atomically(folder / path, data)
    for name in FOLDERS:
        sync_folder(folder / name)
    return made.entry


def _check_free(path: Path, info: SetInfo, resume: bool) -> None:
    if resume and (path / SET).is_file():
        if read_info(path).recipe != info.recipe:
            raise SetError(
                f"{str(path)!r} was made with other settings, photographs or models; expected the same ones to resume. "
                f"They stand in {SET}; choose another folder for a new set."
            )
    elif path.is_dir() and any(path.iterdir()):
        raise SetError(
            f"{str(path)!r} is not empty; expected a new folder. Go on with a set that was begun by --resume, "
            "or choose another folder."
        )
