"""The table of an experiment: each row's figures, and its differences from its baseline with intervals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .experiment_config import Experiment
from .experiment_results import SHOWN, WAYS, Result, Results, Shown, Tested, Way
from .histograms import Seen
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


class Resampled:
    """The measures of a row's detectors on one part, and on resamples of it.

    Args:
        scores: of the detector of each seed.
    """

    def __init__(self, scores: Mapping[int, Scores]) -> None:
        self.seeds = [*scores]
        seen = next(iter(scores.values())).seen
        normal = [each.normal for each in seen]
        units = [each.group for each in seen], [each.name for each in seen]
        self.once = {seed: each.figures(each.once) for seed, each in scores.items()}
        self.by_group, self.by_picture = (
            {seed: each.figures(resampled(unit, normal, RESAMPLES)) for seed, each in scores.items()} for unit in units
        )


def difference(measure: str, row: Resampled, baseline: Resampled) -> Difference | None:
    """Compare the detectors of the seeds that both have; None where there are none."""
    seeds = [seed for seed in row.seeds if seed in baseline.seeds]
    if not seeds:
        return None
    once, by_group, by_picture = (
        np.stack([ours[seed][measure] - theirs[seed][measure] for seed in seeds])
        for ours, theirs in (
            (row.once, baseline.once),
            (row.by_group, baseline.by_group),
            (row.by_picture, baseline.by_picture),
        )
    )
    return Difference(
        float(once.mean()),
        _interval(by_group.mean(0)),
        _interval(by_picture.mean(0)),
        int((once > 0).sum()),
        len(seeds),
    )


def _interval(values: Numbers) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


# ---- all rows -----------------------------------------------------------------------------------------------


def summary(results: Results) -> list[dict[str, Any]]:
    """A record for each part, both as one, way and row that has results."""
    found = {row.name: results.of_row(row) for row in results.experiment.rows}
    return [
        {"part": part, "way": way, "for_choosing": part == "validation", **record}
        for part in SHOWN
        for way in WAYS
        for record in _records(results.experiment, _tested(found, part, way))
    ]


def _tested(found: Mapping[str, Mapping[int, Result]], part: Shown, way: Way) -> dict[str, dict[int, Tested]]:
    return {
        name: {seed: result.on(part, way) for seed, result in of_row.items()}
        for name, of_row in found.items()
        if of_row
    }


def _records(experiment: Experiment, tests: Mapping[str, Mapping[int, Tested]]) -> Iterator[dict[str, Any]]:
    """Of the rows in one part, tested in one way."""
    again = {
        name: Resampled({seed: Scores(test.seen) for seed, test in of_row.items()}) for name, of_row in tests.items()
    }
    for name, of_row in tests.items():
        baseline = experiment.baseline(experiment.row(name)).name
        differences = (
            {measure: difference(measure, again[name], again[baseline]) for measure in MEASURES}
            if baseline in again and baseline != name
            else {}
        )
        yield {
            "row": name,
            "seeds": [*of_row],
            "pictures": _counts(next(iter(of_row.values())).seen),
            "figures": {each: _spread([test.figures[each] for test in of_row.values()]) for each in MEASURES},
            "false_pixels": float(np.mean([test.pixels.false for test in of_row.values()])),
            "false_on_normal": float(np.mean([test.pixels.false_on_normal for test in of_row.values()])),
            "found": float(np.mean([test.pixels.found / test.pixels.defects for test in of_row.values()])),
            "against": baseline,
            "differences": {each: value._asdict() for each, value in differences.items() if value},
        }


def _counts(seen: Sequence[Seen]) -> dict[str, int]:
    """On how many pictures of how many groups a row was tested."""
    kinds = {"defects": [each for each in seen if not each.normal], "normal": [each for each in seen if each.normal]}
    return {name: len(those) for name, those in kinds.items()} | {
        f"{name}_groups": len({each.group for each in those}) for name, those in kinds.items()
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "lowest": float(np.min(values)), "highest": float(np.max(values))}


def markdown(records: Sequence[dict[str, Any]], experiment: Experiment) -> str:
    """The tables of all parts, both as one, and ways."""
    parts = [
        _table(
            [each for each in records if (each["part"], each["way"]) == (part, way)], f"{_PARTS[part]}, {_WAYS[way]}"
        )
        for part in SHOWN
        for way in WAYS
    ]
    return f"# {experiment.name}\n\n{_NOTE}\n" + "".join(parts)


_PARTS = {
    "validation": "validation",
    "test": "test",
    "both": "validation and test pooled (for the report, not for choosing settings)",
}
_WAYS = {"windows": "by windows", "whole": "in one pass"}
_PICTURES = "{defects} pictures of defects on {defects_groups} tiles, {normal} normal ones of {normal_groups}.\n\n"
_NOTE = (
    "Figures are means over seeds. Differences are against the row with as many real pictures and nothing added: the "
    "mean over seeds, 95 % intervals over resampled tiles and over resampled pictures, and how many seeds agree in "
    "being better; of few tiles an interval over tiles says little. False pixels and the found share are at the "
    "threshold of the highest F1 on validation. Validation and test pooled are all of their pictures as one part: more "
    "tiles to judge by, but settings are chosen by validation alone."
)


def _table(records: Sequence[dict[str, Any]], title: str) -> str:
    head = [
        "row",
        "seeds",
        *MEASURES,
        "false pixels (on normal)",
        "found",
        *(f"{name}: difference" for name in COMPARED),
    ]
    lines = [head, ["---"] * len(head), *map(_cells, records)]
    tested = _PICTURES.format(**records[0]["pictures"]) if records else ""
    return f"\n## {title}\n\n{tested}" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(record: dict[str, Any]) -> list[str]:
    figures = [f"{record['figures'][name]['mean']:.3f}" for name in MEASURES]
    differences = [_difference(record["differences"].get(name)) for name in COMPARED]
    found = [f"{record['false_pixels']:.0f} ({record['false_on_normal']:.0f})", f"{record['found']:.2f}"]
    return [record["row"], str(len(record["seeds"])), *figures, *found, *differences]


def _difference(values: dict[str, Any] | None) -> str:
    return str(Difference(**values)) if values else ""
