"""What is wrong with data, and names for a message."""

from collections.abc import Sequence
from pathlib import Path

from dmix_core.errors import DmixError

SHOWN = 5
"""File names in a message."""


class DataError(DmixError):
    """A data set that cannot be read, or that nothing can be learned from."""


def some(paths: Sequence[Path]) -> str:
    """': a.png, b.png, ...' for a message."""
    names = ", ".join(path.name for path in paths[:SHOWN])
    return f": {names}{', ...' if len(paths) > SHOWN else ''}" if paths else ""
