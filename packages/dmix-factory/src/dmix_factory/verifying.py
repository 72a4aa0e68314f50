"""Whether a set is whole: every line, every file, every mask."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmix_core.errors import DmixError
from dmix_data.generated_set import SampleEntry, read_info
from dmix_data.objects import box_of
from dmix_data.stored_set import StoredSample, StoredSet

from .set_folder import FOLDERS


@dataclass(frozen=True)
class Verdict:
    """What was found in a set: how many samples, and what is wrong, in words."""

    samples: int
    problems: tuple[str, ...]


def verify(folder: str | Path) -> Verdict:
    """Check a set against its manifest: order, files with their checksums, masks with their objects, and nothing else.

    Raises:
        DataError: it has no set.json or manifest, or a line of it is damaged.
    """
    stored = StoredSet.open(folder)
    problems: list[str] = []
    known: set[str] = set()
    samples, last = 0, -1
    for sample in stored.samples():
        samples += 1
        if sample.entry.number <= last:
            problems.append(f"sample {sample.entry.number}: it stands behind {last}; expected rising numbers")
        last = sample.entry.number
        known.update((sample.entry.image, sample.entry.mask))
        problems += [f"sample {last}: {problem}" for problem in _problems(sample)]
    problems += [f"{path}: no sample of the manifest" for path in _others(Path(folder), known)]
    return Verdict(samples, tuple(problems + _missing(Path(folder), samples)))


def damaged_files(folder: Path, entry: SampleEntry) -> list[str]:
    """The files of a sample that are missing or have other content than its line states."""
    return [path for path, digest in entry.sha256.items() if _digest(folder / path) != digest]


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _problems(sample: StoredSample) -> Iterator[str]:
    entry = sample.entry
    damaged = damaged_files(sample.source.root, entry)
    yield from (f"{path} is missing, or has other content than the manifest states" for path in damaged)
    if entry.mask in damaged:
        return
    try:
        values = sample.values
    except DmixError as error:
        yield str(error)
        return
    known = {each.value: each for each in entry.objects}
    if strange := {*np.unique(values).tolist()} - {0, *known}:
        yield f"its mask has the values {sorted(strange)}, which none of its objects has"
    for value, each in known.items():
        shown = values == value
        box = tuple(box_of(shown)) if shown.any() else None
        if (box, int(shown.sum())) != (each.box, each.area):
            yield f"object {value} has the box {each.box} and {each.area} pixels; its mask shows {box}, {shown.sum()}"


def _others(folder: Path, known: set[str]) -> Iterator[str]:
    for name in FOLDERS:
        found = (path.relative_to(folder).as_posix() for path in sorted((folder / name).glob("*")))
        yield from (path for path in found if path not in known)


def _missing(folder: Path, samples: int) -> list[str]:
    expected = read_info(folder).samples
    return [f"{samples} of {expected} samples; go on with --resume"] if samples != expected else []
