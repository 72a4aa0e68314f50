"""Print what a cross-validation found: the means of experiments that hold out different tiles, row by row.

    python benchmarks/magnetic-tile/folds.py breaks.toml OUT1 breaks-swapped.toml OUT2

An OUT is the folder that dmix experiment wrote for the TOML file before it. Each fold has detectors of its own, whose
probabilities do not compare, so that measures are taken fold by fold, over all of its held-out pictures, and averaged.
Intervals are of resampled tiles, and of resampled pictures, of each fold by itself.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from pooled import MEASURES, WAYS, markdown, with_intervals

from dmix_eval.experiment_config import Experiment, read_experiment
from dmix_eval.experiment_results import Results, Way
from dmix_eval.experiment_table import Difference, Gains, Resampled, gains

Fold = Mapping[str, Mapping[int, Resampled]]
"""Of one way of testing: by row and seed."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folds", type=Path, nargs="+", help="pairs of a TOML file and the folder of its results")
    given = arguments.parse_args()
    experiments = [read_experiment(path) for path in given.folds[::2]]
    found = [Results(out / "results", each) for out, each in zip(given.folds[1::2], experiments, strict=True)]
    folds = {way: [_fold(each, way) for each in found] for way in WAYS}
    head = ["", "seeds", *(f"{measure}, {way}" for measure in MEASURES for way in WAYS.values())]
    print(markdown(head, lines(experiments[-1], folds)))


def _fold(results: Results, way: Way) -> Fold:
    of_rows = {row.name: results.of_row(row) for row in results.experiment.rows}
    return {
        name: {seed: Resampled.of(result.on("both", way).seen) for seed, result in of_row.items()}
        for name, of_row in of_rows.items()
        if of_row
    }


def lines(experiment: Experiment, folds: Mapping[Way, Sequence[Fold]]) -> Iterator[list[str]]:
    """A line for each row of an experiment that all folds have, and for each further row that it is compared with."""
    for row in experiment.rows:
        if not all(row.name in fold for each in folds.values() for fold in each):
            continue
        seeds = ", ".join(str(len(fold[row.name])) for fold in folds["windows"])
        baselines = [name for name in experiment.baselines(row) if name != row.name]
        if not baselines:
            figures = [_mean(measure, row.name, folds[way]) for measure in MEASURES for way in WAYS]
            yield [row.name, seeds, *(f"{each:.3f}" for each in figures)]
        for number, baseline in enumerate(baselines):
            cells = [
                with_intervals(of_folds(measure, row.name, baseline, folds[way]))
                for measure in MEASURES
                for way in WAYS
            ]
            yield [f"... against {baseline}", "", *cells] if number else [row.name, seeds, *cells]


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


if __name__ == "__main__":
    main()
