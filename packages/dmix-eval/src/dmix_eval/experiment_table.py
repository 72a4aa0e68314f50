"""The table of an experiment: each row's figures, and its differences from its baseline with intervals."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .experiment_config import Experiment, Row
from .experiment_results import PARTS, WAYS, Part, Result, Results, Way
from .scores import MEASURES, Numbers, Scores, resampled

RESAMPLES = 1000
LEVEL = 0.95
COMPARED = ("pixel AP", "AUPIMO", "image AUROC")
"""The measures whose differences the table shows; JSON has all."""


class Difference(NamedTuple):
    """A row minus its baseline, as a mean over seeds, with 95 % intervals of resampled test pictures.

    Attributes:
        by_group, by_picture: the interval when tiles, or pictures, are drawn.
        wins: of how many seeds the row is better.
    """

    mean: float
    by_group: tuple[float, float]
    by_picture: tuple[float, float]
    wins: int
    seeds: int

    @property
    def sure(self) -> bool:
        """Whether neither interval holds zero."""
        return all(low > 0 or high < 0 for low, high in (self.by_group, self.by_picture))

    def __str__(self) -> str:
        group, picture = (f"[{low:+.3f}, {high:+.3f}]" for low, high in (self.by_group, self.by_picture))
        return f"{self.mean:+.3f} tile {group} picture {picture}, {self.wins}/{self.seeds} seeds"


def difference(measure: str, row: Sequence[Scores], baseline: Sequence[Scores]) -> Difference:
    """Compare detectors of the same seeds on the same pictures."""
    seen = row[0].seen
    normal = [each.normal for each in seen]
    each_once = np.ones((1, len(seen)))
    groups, names = [each.group for each in seen], [each.name for each in seen]
    by_seed = _differences(measure, row, baseline, each_once)[:, 0]
    intervals = [
        _interval(_differences(measure, row, baseline, resampled(units, normal, RESAMPLES)).mean(0))
        for units in (groups, names)
    ]
    return Difference(float(by_seed.mean()), *intervals, int((by_seed > 0).sum()), len(by_seed))


def _differences(measure: str, row: Sequence[Scores], baseline: Sequence[Scores], weights: Numbers) -> Numbers:
    """(seeds, R)."""
    figure = MEASURES[measure]
    return np.stack([figure(one, weights) - figure(other, weights) for one, other in zip(row, baseline, strict=True)])


def _interval(values: Numbers) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


# ---- all rows -----------------------------------------------------------------------------------------------


def summary(results: Results) -> list[dict[str, Any]]:
    """A record for each part, way and row that has results."""
    experiment = results.experiment
    found = {row.name: results.of_row(row) for row in experiment.rows}
    return [
        _record(row, experiment, found, part, way)
        for part in PARTS
        for way in WAYS
        for row in experiment.rows
        if found[row.name]
    ]


def _record(
    row: Row, experiment: Experiment, found: dict[str, dict[int, Result]], part: Part, way: Way
) -> dict[str, Any]:
    mine, baseline = found[row.name], experiment.baseline(row)
    tests = [result.tested[part][way] for result in mine.values()]
    record = {
        "part": part,
        "way": way,
        "row": row.name,
        "seeds": [*mine],
        "figures": {name: _spread([test.figures[name] for test in tests]) for name in MEASURES},
        "false_pixels": float(np.mean([test.false_pixels for test in tests])),
        "found": float(np.mean([test.found_pixels / test.defect_pixels for test in tests])),
        "against": baseline.name,
        "differences": {},
    }
    shared = [seed for seed in mine if seed in found[baseline.name]]
    if shared and baseline.name != row.name:
        ours, theirs = (
            [Scores(found[name][seed].tested[part][way].seen) for seed in shared] for name in (row.name, baseline.name)
        )
        record["differences"] = {name: difference(name, ours, theirs)._asdict() for name in MEASURES}
    return record


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "lowest": float(np.min(values)), "highest": float(np.max(values))}


def markdown(records: Sequence[dict[str, Any]], experiment: Experiment) -> str:
    """The tables of all parts and ways."""
    parts = [
        _table([each for each in records if (each["part"], each["way"]) == (part, way)], f"{part}, {_WAYS[way]}")
        for part in PARTS
        for way in WAYS
    ]
    return f"# {experiment.name}\n\n{_NOTE}\n" + "".join(parts)


_WAYS = {"windows": "by windows", "whole": "in one pass"}
_NOTE = (
    "Figures are means over seeds. Differences are against the row with as many real pictures and nothing added: the "
    "mean over seeds, 95 % intervals over resampled tiles and over resampled pictures, and how many seeds agree in "
    "being better. False pixels and the found share are at the threshold of the highest F1 on validation."
)


def _table(records: Sequence[dict[str, Any]], title: str) -> str:
    head = ["row", "seeds", *MEASURES, "false pixels", "found", *(f"{name}: difference" for name in COMPARED)]
    lines = [head, ["---"] * len(head), *map(_cells, records)]
    return f"\n## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(record: dict[str, Any]) -> list[str]:
    figures = [f"{record['figures'][name]['mean']:.3f}" for name in MEASURES]
    differences = [_difference(record["differences"].get(name)) for name in COMPARED]
    found = [f"{record['false_pixels']:.0f}", f"{record['found']:.2f}"]
    return [record["row"], str(len(record["seeds"])), *figures, *found, *differences]


def _difference(values: dict[str, Any] | None) -> str:
    return str(Difference(**values)) if values else ""
