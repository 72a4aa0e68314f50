"""Progress on stderr: a bar on a terminal; in a file or a pipe nothing that would fill it."""

from typing import Any

from tqdm import tqdm


def progress(doing: str, unit: str, quiet: bool, **options: Any) -> tqdm:
    """A bar that is drawn on terminals alone; options as for tqdm."""
    return tqdm(desc=doing, unit=unit, disable=quiet or None, **options)
