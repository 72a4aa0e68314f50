"""One training to a folder: a lock, and a note of whose it is.

The lock is the operating system's (flock, or LockFileEx on Windows, by way of `filelock`). It ends with the process
that holds it, however that ends, so that nothing has to be guessed about a dead process or about a process number that
was given away again. The note serves the message alone: a lock file cannot state who holds it.
"""

import json
import logging
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from dmix_core.errors import DmixError
from dmix_core.files import write_atomically

logger = logging.getLogger(__name__)

LOCK, OWNER = "lock", "owner.json"


class InUseError(DmixError):
    """A folder that another training writes into."""


class Owner(BaseModel):
    """The process that holds a folder."""

    model_config = ConfigDict(frozen=True)

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class Ownership:
    """The exclusive right to write into a folder, until `release` or the end of the process.

    Raises:
        InUseError: another training holds it; the message names its process, host and when it began.
    """

    def __init__(self, folder: Path):
        self.note = folder / OWNER
        self.lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
        try:
            self.lock.acquire()
        except Timeout as error:
            raise InUseError(
                f"{str(folder.parent)!r} is in use by another training ({read_owner(self.note) or 'not known whose'}). "
                "Expected a folder of this training alone: wait for the other one, stop it, or choose another folder."
            ) from error
        if self.note.exists():
            logger.info("%s: the training before was cut off (%s).", folder.parent, read_owner(self.note))
        here = Owner(pid=os.getpid(), host=platform.node(), since=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        write_atomically(self.note, json.dumps(here.model_dump()).encode())

    def release(self) -> None:
        """Let others write there."""
        try:
            if self.lock.is_locked:
                self.note.unlink(missing_ok=True)
        finally:
            self.lock.release()


def read_owner(note: Path) -> Owner | None:
    """The owner that a note states; None where it cannot be read."""
    try:
        return Owner.model_validate_json(note.read_bytes())
    except (OSError, ValidationError):
        return None
