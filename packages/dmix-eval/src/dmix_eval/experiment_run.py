"""Run an experiment: train and test a detector for each row and seed that has no result yet."""

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.filters import gaussian

from dmix_data.exceptions import DataError
from dmix_models.precision import Precision

from .detector import Detector
from .detector_batches import Share, shares
from .detector_training import by_windows, faster, trained, whole
from .experiment_config import Experiment, Row
from .experiment_results import PARTS, WAYS, Part, Result, Results, Way, tested
from .histograms import Seen, counts
from .photographs import Photograph, chosen, real_photographs

SMOOTHING = 2.0  # pixels, the standard deviation by which maps are smoothed before their maximum is a picture's score
NEAR = 5  # pixels around a defect, where a mask's outline may be disputed

OnStep = Callable[[], object]
"""Called after each step of training."""


class ExperimentRun:
    """An experiment with its pictures in memory.

    Args:
        experiment: what to do.
        folder: where results are written.
        rows: take these rows alone.
        precision: of the networks.

    Raises:
        DataError: pictures that cannot be used, or a tile that is in two parts.
        ExperimentError: no such row.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        rows: Sequence[str] = (),
        precision: Precision | None = None,
    ) -> None:
        self.experiment = experiment
        self.results = Results(folder, experiment)
        self.rows = [experiment.row(name) for name in rows] or [*experiment.rows]
        self.photographs = {
            part: real_photographs(getattr(experiment, part), experiment.classes) for part in ("train", *PARTS)
        }
        self.tested = {part: pictures_to_test(self.photographs[part], experiment.normals) for part in PARTS}
        check_apart(
            {part: {each.group for each in photos} for part, photos in self.photographs.items()}, experiment.leaking
        )
        for row in self.rows:
            self._shares(row)
        self.precision = precision or faster(experiment.training)

    def _shares(self, row: Row) -> list[Share]:
        return shares(row, self.experiment.training, self.photographs["train"], self.experiment.classes)

    def due(self) -> list[tuple[Row, int]]:
        """The rows and seeds that have no result yet; all rows of a seed before the next one."""
        wanted = [(row, seed) for seed in self.experiment.seeds for row in self.rows]
        return [(row, seed) for row, seed in wanted if self.results.read(row, seed) is None]

    def run(self, on_step: OnStep = lambda: None) -> Iterator[tuple[Row, Result]]:
        """Make what is due; each result is on disk before it is yielded."""
        for row, seed in self.due():
            result = self.result(row, seed, on_step)
            self.results.write(row, result)
            yield row, result

    def result(self, row: Row, seed: int, on_step: OnStep = lambda: None) -> Result:
        """Train a detector and test it."""
        start = time.perf_counter()
        detector = trained(self._shares(row), self.experiment.training, seed, self.precision, on_step)
        seen = {part: {way: self._seen(detector, part, way) for way in WAYS} for part in PARTS}
        return Result(
            row=row.name,
            seed=seed,
            digest=self.experiment.digest(row),
            seconds=round(time.perf_counter() - start, 1),
            made_with={"precision": self.precision, **{name: version(name) for name in ("dmix-eval", "torch")}},
            tested=tested(seen),
        )

    def _seen(self, detector: Detector, part: Part, way: Way) -> list[Seen]:
        return [self._looked_at(detector, photo, way) for photo in self.tested[part]]

    def _looked_at(self, detector: Detector, photo: Photograph, way: Way) -> Seen:
        if way == "whole":
            said = whole(detector, photo, self.precision).numpy()
        else:
            training = self.experiment.training
            said = by_windows(detector, photo, training.side, self.experiment.stride, self.precision).numpy()
        return Seen(
            name=photo.name,
            group=photo.group,
            score=float(np.max(gaussian(said, SMOOTHING))),
            defects=counts(said[photo.mask]),
            rest=counts(said[~photo.mask]),
            alarm=highest_alarm(said, photo),
        )


def highest_alarm(said: NDArray[np.floating], photo: Photograph) -> tuple[int, int, float] | None:
    """Row, column and probability of the surest pixel that is not near a defect."""
    far = ~binary_dilation(photo.mask, iterations=NEAR) if photo.mask.any() else np.ones(photo.mask.shape, bool)
    if not far.any():
        return None
    row, column = np.unravel_index(np.argmax(np.where(far, said, -1)), said.shape)
    return int(row), int(column), float(said[row, column])


def pictures_to_test(photographs: Sequence[Photograph], normals: int | None) -> list[Photograph]:
    """All pictures of defects, and so many normal ones, or all where there are fewer."""
    normal = [each for each in photographs if each.normal]
    count = None if normals is None else min(normals, len(normal))
    return [*(each for each in photographs if not each.normal), *chosen(normal, count)]


def check_apart(groups: dict[str, set[str]], leaking: Sequence[str] = ()) -> None:
    """Refuse parts that share a group, but for those that may leak.

    Raises:
        DataError: naming it.
    """
    for one, other in combinations(groups, 2):
        if (shared := groups[one] & groups[other]) and not {one, other} & {*leaking}:
            raise DataError(
                f"{min(shared)!r} is in {one} and in {other}; expected parts that show different things, or figures "
                "would be too good. Divide the data by their groups, or let the part leak that does: leaking = "
                f"[{other!r}]."
            )
