"""The table of an experiment: each row's figures, and its differences from its baseline with intervals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .experiment_config import Experiment
from .experiment_results import SHOWN, WAYS, Result, Results, Shown, Way
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


class Resampled(NamedTuple):
    """The measures of one detector on one part, and on resamples of it.

    Attributes:
        once: (1,) of each measure.
        by_group, by_picture: (R,) of each measure, when tiles, or pictures, are drawn; resample r is the same pictures
            for all detectors.
    """

    once: dict[str, Numbers]
    by_group: dict[str, Numbers]
    by_picture: dict[str, Numbers]

    @classmethod
    def of(cls, seen: Sequence[Seen]) -> "Resampled":
        """Of what a detector said of each picture."""
        scores, normal = Scores(seen), [each.normal for each in seen]
        units = [each.group for each in seen], [each.name for each in seen]
        return cls(
            scores.figures(scores.once),
            *(scores.figures(resampled(unit, normal, RESAMPLES)) for unit in units),
        )


BySeed = Mapping[int, Resampled]


class Gains(NamedTuple):
    """What a row has more than its baseline.

    Attributes:
        once: (S,) of each seed.
        by_group, by_picture: (R,) means over seeds, when tiles, or pictures, are drawn.
    """

    once: Numbers
    by_group: Numbers
    by_picture: Numbers

    @property
    def difference(self) -> Difference:
        intervals = _interval(self.by_group), _interval(self.by_picture)
        return Difference(float(self.once.mean()), *intervals, int((self.once > 0).sum()), len(self.once))


def gains(measure: str, row: BySeed, baseline: BySeed) -> Gains | None:
    """Compare the detectors of the seeds that both have; None where there are none."""
    pairs = [(row[seed], baseline[seed]) for seed in row if seed in baseline]
    if not pairs:
        return None
    once, by_group, by_picture = (
        np.stack([ours[measure] - theirs[measure] for ours, theirs in both])
        for both in zip(*(zip(ours, theirs, strict=True) for ours, theirs in pairs), strict=True)
    )
    return Gains(once[:, 0], by_group.mean(0), by_picture.mean(0))


def _interval(values: Numbers) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


# ---- all rows -----------------------------------------------------------------------------------------------


Known = dict[tuple[str, int, Shown, Way], Resampled]
"""Resamples by row, seed, part and way; they take a second each, and results do not change."""


def summary(results: Results, known: Known) -> list[dict[str, Any]]:
    """A record for each part, both as one, way and row that has results.

    Args:
        known: resamples of earlier calls; those of new results are added.
    """
    found = {row.name: of_row for row in results.experiment.rows if (of_row := results.of_row(row))}
    return [
        {"part": part, "way": way, "for_choosing": part == "validation", **record}
        for part in SHOWN
        for way in WAYS
        for record in _records(results.experiment, found, (part, way), known)
    ]


def _records(
    experiment: Experiment, found: Mapping[str, Mapping[int, Result]], where: tuple[Shown, Way], known: Known
) -> Iterator[dict[str, Any]]:
    """Of the rows in one part, tested in one way."""
    tests = {name: {seed: result.on(*where) for seed, result in of_row.items()} for name, of_row in found.items()}
    again: dict[str, dict[int, Resampled]] = {name: {} for name in tests}
    for name, of_row in tests.items():
        for seed, test in of_row.items():
            key = (name, seed, *where)
            if key not in known:
                known[key] = Resampled.of(test.seen)
            again[name][seed] = known[key]
    for name, of_row in tests.items():
        baselines = [each for each in experiment.baselines(experiment.row(name)) if each in again and each != name]
        yield {
            "row": name,
            "seeds": [*of_row],
            "pictures": _counts(next(iter(of_row.values())).seen),
            "figures": {each: _spread([test.figures[each] for test in of_row.values()]) for each in MEASURES},
            "false_pixels": float(np.mean([test.pixels.false for test in of_row.values()])),
            "false_on_normal": float(np.mean([test.pixels.false_on_normal for test in of_row.values()])),
            "found": float(np.mean([test.pixels.found / test.pixels.defects for test in of_row.values()])),
            "differences": {each: _differences(again[name], again[each]) for each in baselines},
        }


def _differences(row: BySeed, baseline: BySeed) -> dict[str, dict[str, Any]]:
    """By measure; empty where no seed has both."""
    found = {measure: gains(measure, row, baseline) for measure in MEASURES}
    return {measure: each.difference._asdict() for measure, each in found.items() if each}


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
            [each for each in records if (each["part"], each["way"]) == (part, way)],
            f"{_PARTS[part]}{_LEAKS * (part in experiment.leaking)}, {_WAYS[way]}",
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
_LEAKS = " (which shows tiles that training shows, too)"
_WAYS = {"windows": "by windows", "whole": "in one pass"}
_PICTURES = "{defects} pictures of defects on {defects_groups} tiles, {normal} normal ones of {normal_groups}.\n\n"
_NOTE = (
    "Figures are means over seeds. Differences are against the row with as many real pictures and nothing added, or "
    "against the rows that are stated: the mean over seeds, 95 % intervals over resampled tiles and over resampled "
    "pictures, and how many seeds agree in being better; of few tiles an interval over tiles says little. False pixels "
    "and the found share are at the threshold of the highest F1 on validation. Validation and test pooled are all of "
    "their pictures as one part: more tiles to judge by, but settings are chosen by validation alone."
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
    lines = [head, ["---"] * len(head), *(line for record in records for line in _lines(record))]
    tested = _PICTURES.format(**records[0]["pictures"]) if records else ""
    return f"\n## {title}\n\n{tested}" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _lines(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row's figures and its differences from its first baseline; a line for each further one."""
    figures = [f"{record['figures'][name]['mean']:.3f}" for name in MEASURES]
    found = [f"{record['false_pixels']:.0f} ({record['false_on_normal']:.0f})", f"{record['found']:.2f}"]
    cells = [str(len(record["seeds"])), *figures, *found]
    first, *further = record["differences"].items() or [("", {})]
    yield [record["row"], *cells, *_compared(first[1])]
    for baseline, differences in further:
        yield [f"... against {baseline}", *([""] * len(cells)), *_compared(differences)]


def _compared(differences: dict[str, dict[str, Any]]) -> list[str]:
    return [str(Difference(**differences[name])) if name in differences else "" for name in COMPARED]
