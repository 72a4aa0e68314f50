"""Print what a cross-validation found: the means of experiments that hold out different tiles, row by row.

    python benchmarks/magnetic-tile/folds.py breaks.toml OUT1 breaks-swapped.toml OUT2

An OUT is the folder that dmix experiment wrote for the TOML file before it. Each fold has detectors of its own, whose
probabilities do not compare, so that measures are taken fold by fold, over all of its held-out pictures, and averaged.
Intervals are of resampled tiles, and of resampled pictures, of each fold by itself. The second table has each tile by
itself, against all normal pictures, by windows: one tile may have most of all pixels.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from pooled import HEAD, MEASURES, WAYS, lines_of, markdown

from dmix_eval.experiment_config import Experiment, Row, read_experiment
from dmix_eval.experiment_results import Result, Results, Way
from dmix_eval.experiment_table import Difference, Gains, Resampled, gains
from dmix_eval.scores import Scores

Found = Mapping[str, Mapping[int, Result]]
"""The results of a fold, by row and seed."""
Fold = Mapping[str, Mapping[int, Resampled]]
"""Of one way of testing."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folds", type=Path, nargs="+", help="pairs of a TOML file and the folder of its results")
    given = arguments.parse_args().folds
    if len(given) % 2:
        arguments.error(f"{given[-1]} has no folder of results behind it; expected pairs of a TOML file and its folder")
    experiments = [read_experiment(path) for path in given[::2]]
    found = [_results(each, out) for each, out in zip(experiments, given[1::2], strict=True)]
    rows = [row for row in experiments[-1].rows if all(row.name in each for each in found)]
    if not rows:
        arguments.error("no row has results in every fold")
    folds = {way: [_resampled(each, way) for each in found] for way in WAYS}
    print(markdown(HEAD, (line for row in rows for line in lines(experiments[-1], row, folds))))
    of_tiles = {row.name: tile_by_tile(found, row.name) for row in rows}
    print(markdown(["", *of_tiles[rows[0].name], "mean of tiles"], (_tile_line(*each) for each in of_tiles.items())))


def _results(experiment: Experiment, out: Path) -> Found:
    results = Results(out / "results", experiment)
    return {row.name: of_row for row in experiment.rows if (of_row := results.of_row(row))}


def _resampled(found: Found, way: Way) -> Fold:
    return {
        name: {seed: Resampled.of(result.on("both", way).seen) for seed, result in of_row.items()}
        for name, of_row in found.items()
    }


def lines(experiment: Experiment, row: Row, folds: Mapping[Way, Sequence[Fold]]) -> Iterator[list[str]]:
    """A line for a row that all folds have, and one for each further row that it is compared with."""
    seeds = ", ".join(str(len(fold[row.name])) for fold in folds["windows"])
    figures = [_mean(measure, row.name, folds[way]) for measure in MEASURES for way in WAYS]
    differences = {
        baseline: [of_folds(measure, row.name, baseline, folds[way]) for measure in MEASURES for way in WAYS]
        for baseline in experiment.baselines(row)
        if baseline != row.name
    }
    return lines_of(row.name, seeds, figures, differences)


def _mean(measure: str, row: str, folds: Sequence[Fold]) -> float:
    return float(np.mean([np.mean([seed.once[measure] for seed in fold[row].values()]) for fold in folds]))


def of_folds(measure: str, row: str, baseline: str, folds: Sequence[Fold]) -> Difference:
    """The mean of the folds' differences, each a mean over its seeds.

    Raises:
        ValueError: a fold in which no seed has both rows.
    """
    found = [gains(measure, fold[row], fold[baseline]) for fold in folds]
    if not all(found):
        raise ValueError(f"no seed has both {row!r} and {baseline!r} in one of the folds; train them first")
    # The resamples of all folds come from one seed, so that they must be shuffled to be independent.
    shuffle = np.random.default_rng(0).permutation
    by_group, by_picture = (
        np.mean([shuffle(getattr(each, kind)) for each in found], 0) for kind in ("by_group", "by_picture")
    )
    means = [each.once.mean() for each in found if each]
    pooled = Gains(np.concatenate([each.once for each in found if each]), by_group, by_picture).difference
    return pooled._replace(mean=float(np.mean(means)))


def tile_by_tile(found: Sequence[Found], row: str) -> dict[str, tuple[float, float]]:
    """By tile of a defect: pixel AP and image AUROC, means over seeds."""
    figures = defaultdict(list)
    for fold in found:
        for result in fold[row].values():
            seen = result.on("both", "windows").seen
            for tile in sorted({each.group for each in seen if not each.normal}):
                scores = Scores([each for each in seen if each.normal or each.group == tile])
                figures[tile].append([float(scores.figures(scores.once)[measure][0]) for measure in MEASURES])
    return {tile: tuple(np.mean(each, 0).tolist()) for tile, each in figures.items()}


def _tile_line(name: str, of_tiles: Mapping[str, tuple[float, float]]) -> list[str]:
    figures = [*of_tiles.values(), tuple(np.mean([*of_tiles.values()], 0))]
    return [name, *(f"{ap:.2f}, {auroc:.2f}" for ap, auroc in figures)]


if __name__ == "__main__":
    main()
