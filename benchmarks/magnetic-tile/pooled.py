"""Print the tables of docs/evidence.md from what `dmix experiment` wrote.

    python benchmarks/magnetic-tile/pooled.py blowholes/table.json [--prefix "real 5"]

The first table has validation and test pooled: figures of rows to which nothing was added, and differences of the
others, bold where neither interval, over tiles and over pictures, holds zero. The second has the parts by themselves.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dmix_eval.experiment_results import Way
from dmix_eval.experiment_table import Difference

MEASURES = ("pixel AP", "image AUROC")
WAYS: dict[Way, str] = {"windows": "windows", "whole": "one pass"}

HEAD = ["", "seeds", *(f"{measure}, {way}" for measure in MEASURES for way in WAYS.values())]

Records = dict[tuple[str, str], dict[str, dict[str, Any]]]
"""By part and way, then by row."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("table", type=Path)
    arguments.add_argument("--prefix", help="print the rows whose names begin with it alone")
    arguments.add_argument("--without", help="leave the rows out whose names begin with it")
    given = arguments.parse_args()
    records: Records = {}
    for each in json.loads(given.table.read_text()):
        if each["row"].startswith(given.prefix or "") and not (given.without and each["row"].startswith(given.without)):
            records.setdefault((each["part"], each["way"]), {})[each["row"]] = each
    print(markdown(HEAD, pooled(records)))
    print(markdown(["", *_part_headings()], by_part(records)))


def _part_headings() -> list[str]:
    return [
        f"{measure}: {part}, {way}" for measure in MEASURES for part in ("validation", "test") for way in WAYS.values()
    ]


def pooled(records: Records) -> Iterator[list[str]]:
    """A line for each row, and for each further row that it is compared with."""
    for name, first in records["both", "windows"].items():
        own = {way: records["both", way][name] for way in WAYS}
        figures = [own[way]["figures"][measure]["mean"] for measure in MEASURES for way in WAYS]
        differences = {
            baseline: [Difference(**own[way]["differences"][baseline][measure]) for measure in MEASURES for way in WAYS]
            for baseline in first["differences"]
        }
        yield from lines_of(name, str(len(first["seeds"])), figures, differences)


def lines_of(
    name: str, seeds: str, figures: Sequence[float], differences: Mapping[str, Sequence[Difference]]
) -> Iterator[list[str]]:
    """The figures of a row to which nothing was added; else its differences from each baseline, a line for each."""
    if not differences:
        yield [name, seeds, *(f"{each:.3f}" for each in figures)]
    for number, (baseline, found) in enumerate(differences.items()):
        head = [f"... against {baseline}", ""] if number else [name, seeds]
        yield [*head, *map(with_intervals, found)]


def with_intervals(found: Difference) -> str:
    intervals = found.by_group, found.by_picture
    text = f"{found.mean:+.3f} {', '.join(f'[{low:+.3f}, {high:+.3f}]' for low, high in intervals)}"
    return f"**{text}**" if found.sure else text


def by_part(records: Records) -> Iterator[list[str]]:
    for name in records["both", "windows"]:
        figures = [
            records[part, way][name]["figures"][measure]["mean"]
            for measure in MEASURES
            for part in ("validation", "test")
            for way in WAYS
        ]
        yield [name, *(f"{each:.3f}" for each in figures)]


def markdown(head: Sequence[str], lines: Iterator[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))


if __name__ == "__main__":
    main()
