"""Sets and trainings in the folders that were given, with their reports."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dmix_core.errors import DmixError
from dmix_core.files import read_limited

from .errors import StudioError

DEEPEST, MOST_FOLDERS = 4, 3000
LARGEST_REPORT = 200_000_000
REPORT = "report.html"


def folders_below(roots: Iterable[Path]) -> Iterator[Path]:
    """The given folders and those in them, to some depth and number; hidden ones and links are left out."""
    waiting = [(root.resolve(), 0) for root in roots]
    for _ in range(MOST_FOLDERS):
        if not waiting:
            return
        folder, depth = waiting.pop(0)
        yield folder
        if depth < DEEPEST:
            waiting += [(child, depth + 1) for child in _folders_in(folder)]


def _folders_in(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:  # one that may not be read
        return []
    return sorted(path for path in found if not path.name.startswith("."))


def listed(roots: Iterable[Path]) -> list[dict[str, Any]]:
    """Every set and every training: an id, what it is, its folder, and how far it is."""
    found = []
    for folder in folders_below(roots):
        if (folder / "manifest.jsonl").is_file() and (folder / "set.json").is_file():
            found.append(_facts(folder, "set") | _set_facts(folder))
        elif (folder / "training" / REPORT).is_file():
            found.append(_facts(folder, "training"))
    return found


def report_of(roots: Iterable[Path], wanted: str) -> bytes:
    """The page about a set or a training; that of a set is made where there is none yet, and not written.

    Raises:
        StudioError: there is no such set or training, or its page cannot be read.
    """
    for each in listed(roots):
        if each["id"] == wanted:
            return _report(each["kind"], Path(each["folder"]))
    raise StudioError("There is no such set or training any more. Load the page again.", 404)


def _report(kind: str, folder: Path) -> bytes:
    from dmix_data.set_report import report
    from dmix_data.stored_set import StoredSet

    path = folder / REPORT if kind == "set" else folder / "training" / REPORT
    try:
        if kind == "set" and not path.is_file():
            return report(StoredSet.open(folder)).encode()
        return read_limited(path, LARGEST_REPORT)
    except (OSError, DmixError) as error:
        raise StudioError(f"The report of {folder.name!r} cannot be shown: {error}") from error


def _facts(folder: Path, kind: str) -> dict[str, Any]:
    begun_here = folder.with_name(f"{folder.name}.from").is_dir()
    return {"id": _id(folder), "kind": kind, "name": folder.name, "folder": str(folder), "goes_on": begun_here}


def _set_facts(folder: Path) -> dict[str, Any]:
    """How many samples a set has, and how many it is to have; 0 where that is not known."""
    try:
        planned = json.loads(read_limited(folder / "set.json", 16_000_000)).get("samples", 0)
        with (folder / "manifest.jsonl").open("rb") as lines:
            return {"samples": sum(1 for _ in lines), "planned": planned}
    except (OSError, ValueError, AttributeError):
        return {"samples": 0, "planned": 0}


def _id(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:16]
