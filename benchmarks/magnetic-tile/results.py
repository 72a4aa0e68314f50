"""Results of experiments as small files: what docs/evidence.md says of labels that show, row by row and seed by seed.

    python benchmarks/magnetic-tile/results.py unpack breaks OUT   # results/breaks/*.xz into OUT/results
    dmix experiment benchmarks/magnetic-tile/breaks.toml -o OUT --table-only
    python benchmarks/magnetic-tile/results.py pack breaks OUT     # and back, with what was added

So tables and intervals can be computed again, and seeds and rows added, without training what there is. A line is a
result as `dmix experiment` writes it, but for the counts of pixels, which are pairs of distances between the bins that
have some, and of how many; that takes a third. Each row has a file of its own, so that what is added changes no other.
"""

import argparse
import json
import lzma
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter

from dmix_core.files import write_atomically
from dmix_eval.experiment_results import Result
from dmix_eval.histograms import BINS, Counts, Stored

COUNTS: TypeAdapter[Counts] = TypeAdapter(Stored, config=ConfigDict(arbitrary_types_allowed=True))
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=["pack", "unpack"])
    arguments.add_argument("name", help="of the experiment")
    arguments.add_argument("out", type=Path, help="the folder that dmix experiment writes")
    given = arguments.parse_args()
    packed, folder = RESULTS / given.name, given.out / "results"
    if given.what == "pack":
        packed.mkdir(parents=True, exist_ok=True)
        for row, group in groupby(sorted(folder.glob("*.json"), key=lambda path: (row_of(path), path)), row_of):
            write_atomically(packed / f"{row}.xz", lzma.compress("\n".join(map(line, group)).encode(), preset=9))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(packed.glob("*.xz")):
            for name, result in unpacked(path):
                write_atomically(folder / name, f"{result.model_dump_json(indent=1)}\n".encode())


def row_of(path: Path) -> str:
    """The name of a result's file without its seed."""
    return path.stem.rpartition("-")[0]


def line(path: Path) -> str:
    """A result, with the name of its file."""
    record = with_counts(json.loads(path.read_bytes()), short)
    return json.dumps({"file": path.name, "result": record}, separators=(",", ":"))


def unpacked(path: Path) -> Iterator[tuple[str, Result]]:
    """The results of a row, each with the name of its file."""
    for each in lzma.decompress(path.read_bytes()).decode().split("\n"):
        record = json.loads(each)
        yield record["file"], Result.model_validate(with_counts(record["result"], long))


def with_counts(record: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """A result's record with all counts of pixels changed."""
    for ways in record["tested"].values():
        for tested in ways.values():
            for seen in tested["seen"]:
                seen |= {name: change(seen[name]) for name in ("defects", "rest")}
    return record


def short(stored: str) -> list[list[int]]:
    counts = COUNTS.validate_python(stored)
    (places,) = np.nonzero(counts)
    return [np.diff(places, prepend=0).tolist(), counts[places].tolist()]


def long(pairs: list[list[int]]) -> Counts:
    counts = np.zeros(BINS, np.int64)
    counts[np.cumsum(pairs[0], dtype=np.intp)] = pairs[1]
    return counts


if __name__ == "__main__":
    main()
