"""The results of an experiment: one JSON file for each row and seed, written whole when both tests are done."""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dmix_core.files import write_atomically

from .experiment_config import Experiment, ExperimentError, Row
from .histograms import Seen
from .scores import PixelCounts, Scores

Part = Literal["validation", "test"]
Shown = Part | Literal["both"]
Way = Literal["windows", "whole"]
PARTS: tuple[Part, ...] = ("validation", "test")
SHOWN: tuple[Shown, ...] = (*PARTS, "both")
"""What tables have; both are the pictures of both parts pooled, by which no settings may be chosen."""
WAYS: tuple[Way, ...] = ("windows", "whole")


class Tested(BaseModel):
    """How a detector did on one part, tested in one way.

    Attributes:
        threshold: the probability at which F1 is highest on the validation part.
        pixels: at that threshold.
        figures: each measure by its name.
    """

    model_config = ConfigDict(frozen=True)

    threshold: float
    pixels: PixelCounts
    figures: dict[str, float]
    seen: tuple[Seen, ...]


class Result(BaseModel):
    """What one detector of a row reached.

    Attributes:
        digest: of what it was trained and tested by.
        tested: by part, then by way.
        seconds: of training and testing.
        made_with: precision, versions.
    """

    model_config = ConfigDict(frozen=True)

    row: str
    seed: int
    digest: str
    seconds: float
    made_with: dict[str, str]
    tested: dict[Part, dict[Way, Tested]]

    def on(self, part: Shown, way: Way) -> Tested:
        """How the detector did on a part, or on both as one, at the threshold of the validation part."""
        if part != "both":
            return self.tested[part][way]
        seen = [_of_part(each, name) for name in PARTS for each in self.tested[name][way].seen]
        return _tested(Scores(seen), self.tested["validation"][way].threshold)


def _of_part(seen: Seen, part: Part) -> Seen:
    """The same under a name that no picture of another part has; parts share no groups."""
    return seen.model_copy(update={"name": f"{part}/{seen.name}"})


def tested(seen: dict[Part, dict[Way, list[Seen]]]) -> dict[Part, dict[Way, Tested]]:
    """All figures; thresholds are those of the validation part."""
    scores = {part: {way: Scores(each) for way, each in ways.items()} for part, ways in seen.items()}
    thresholds = {way: each.threshold() for way, each in scores["validation"].items()}
    return {part: {way: _tested(each, thresholds[way]) for way, each in ways.items()} for part, ways in scores.items()}


def _tested(scores: Scores, threshold: float) -> Tested:
    return Tested(
        threshold=threshold,
        pixels=scores.pixels_at(threshold),
        figures={name: float(values[0]) for name, values in scores.figures(scores.once).items()},
        seen=tuple(scores.seen),
    )


class Results:
    """The folder of an experiment's results.

    Args:
        folder: where the files lie.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder, self.experiment = folder, experiment

    def path(self, row: Row, seed: int) -> Path:
        return self.folder / f"{re.sub(r'[^a-zA-Z0-9.]+', '-', row.name)}-{seed}.json"

    def read(self, row: Row, seed: int) -> Result | None:
        """The result of a row and seed; None where there is none yet.

        Raises:
            ExperimentError: the file is damaged, or from another state of the experiment.
        """
        path = self.path(row, seed)
        if not path.exists():
            return None
        try:
            result = Result.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ExperimentError(f"{str(path)!r} is no result; move it away, and it is made again.") from error
        if result.digest != self.experiment.digest(row):
            raise ExperimentError(
                f"{str(path)!r} is of another state of the experiment, in which the row {row.name!r} or what all rows "
                "share was different. Write into another folder, or move the file away."
            )
        return result

    def write(self, row: Row, result: Result) -> Path:
        return write_atomically(self.path(row, result.seed), f"{result.model_dump_json(indent=1)}\n".encode())

    def of_row(self, row: Row) -> dict[int, Result]:
        """The results that there are, by seed."""
        found = {seed: self.read(row, seed) for seed in self.experiment.seeds}
        return {seed: result for seed, result in found.items() if result is not None}
