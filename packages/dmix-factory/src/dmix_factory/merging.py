"""One set from its shards, which were made on any machines."""

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby, repeat
from pathlib import Path

from dmix_core.files import sync_folder, write_atomically
from dmix_data.generated_set import RejectedEntry, SampleEntry, entries, read_info, rejected

from .set_folder import FOLDERS, SetError, SetFolder
from .units import Unit


def merge(shards: Sequence[str | Path], out: str | Path) -> int:
    """Join the shards of one set; returns the number of samples. The result has the bytes of a set made at once.

    Args:
        shards: folders that `dmix generate --shard` wrote from the same settings; what two of them hold is taken once.
        out: a new folder.

    Raises:
        SetError: they are of different sets, differ in a sample, or together lack one.
        DataError: a shard is damaged.
    """
    folders = [*map(Path, shards)]
    infos = [read_info(folder) for folder in folders]
    for folder, info in zip(folders, infos, strict=True):
        if info != infos[0]:
            raise SetError(f"{str(folder)!r} and {str(folders[0])!r} are no shards of one set: their set.json differ.")
    turned_down = {each.number: tuple(some) for each, some in _rejected(folders)}
    count = 0
    with SetFolder(out, infos[0]) as target:
        for folder, entry in _in_order(folders):
            if entry.number != count:
                raise SetError(f"No shard has sample {count}; expected all shards, each finished by --resume.")
            _copy(folder, target.path, entry)
            target.commit(Unit((entry,), turned_down.get(entry.number, ())))
            count += 1
    if count != infos[0].samples:
        raise SetError(f"The shards hold {count} of {infos[0].samples} samples; expected all shards, each finished.")
    return count


def _in_order(folders: Sequence[Path]) -> Iterator[tuple[Path, SampleEntry]]:
    """The samples of all shards by their numbers, each once."""
    streams = (zip(entries(folder), repeat(folder)) for folder in folders)
    rising = heapq.merge(*streams, key=lambda pair: pair[0].number)
    for number, same in groupby(rising, key=lambda pair: pair[0].number):
        (entry, folder), *others = same
        if any(other != entry for other, _ in others):
            raise SetError(
                f"Two shards hold different samples {number}; expected shards of one set, version and machine."
            )
        yield folder, entry


def _rejected(folders: Sequence[Path]) -> Iterator[tuple[RejectedEntry, list[RejectedEntry]]]:
    for folder in folders:
        for _, same in groupby(rejected(folder), key=lambda each: each.number):
            some = [*same]
            yield some[0], some


def _copy(source: Path, target: Path, entry: SampleEntry) -> None:
    for path, digest in entry.sha256.items():
        content = (source / path).read_bytes() if (source / path).is_file() else b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise SetError(
                f"{str(source / path)!r} is missing or damaged; make it again with `dmix generate --resume`."
            )
        write_atomically(target / path, content)
    for name in FOLDERS:
        sync_folder(target / name)
