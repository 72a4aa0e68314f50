"""One process to a folder.

The lock is the operating system's (flock, or LockFileEx on Windows, by way of `filelock`), so that it ends with the
process that holds it, however that ends.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from .errors import WriteError
from .files import writable_folder

LOCK = ".lock"


class FolderLock:
    """The exclusive right to write into a folder, which is made if need be, until `release`.

    Args:
        folder: whose file ".lock" is locked, and removed by `release`.
        advice: what one may do where another process has it.

    Raises:
        WriteError: another process has it, or the folder cannot be written to.
    """

    def __init__(self, folder: Path, advice: str) -> None:
        self._path = writable_folder(folder) / LOCK
        self._lock = FileLock(self._path)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise WriteError(
                f"Another process writes to {str(folder)!r}; expected one at a time. Wait for it, or {advice}."
            ) from error

    def release(self) -> None:
        """Let others write there."""
        self._path.unlink(missing_ok=True)
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.release()
