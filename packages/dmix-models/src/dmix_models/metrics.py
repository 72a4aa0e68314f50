"""The numbers of a training: what a step reports, and metrics.jsonl."""

import json
import time
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from dmix_core.files import write_atomically


class Quarters(NamedTuple):
    """The weighted squared errors of a batch by the quarter of the levels, 1..T, that they were drawn in."""

    sums: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def means(self) -> list[float | None]:
        """The loss of each quarter, from the clean end; None where no sample fell into it."""
        return [total / count if count else None for total, count in zip(self.sums, self.counts)]


class TrainStep(NamedTuple):
    """What a training step reports."""

    step: int
    """How many steps are done."""
    loss: float
    image_loss: float
    """Mean squared error of the image channels."""
    mask_loss: float | None
    """Mean squared error of the mask channel; None without one."""
    quarters: Quarters
    """The loss in each quarter of the levels, from the clean end."""
    learning_rate: float
    grad_norm: float
    images_per_second: float
    eta: float
    """Seconds left."""
    saved: Path | None = None
    """The checkpoint, where one was written."""
    preview: Path | None = None
    page: Path | None = None
    """The page of the run, where it was written again."""
    verdicts: tuple[str, ...] = ()
    """What the memorisation report says, after the last step on few pictures."""


class Measured(NamedTuple):
    """The numbers of a step, as in TrainStep."""

    loss: float
    image_loss: float
    mask_loss: float | None
    quarters: Quarters
    learning_rate: float
    grad_norm: float


class Metrics:
    """metrics.jsonl: a line every `log_every` steps, with means over the steps since the line before."""

    def __init__(self, path: Path, done: int, steps: int, batch_size: int, log_every: int):
        self.path, self.first = path, done
        self.steps, self.batch_size, self.log_every = steps, batch_size, log_every
        self.started = time.monotonic()
        self.recent: list[TrainStep] = []

    def start(self) -> None:
        """Drop the lines of steps that will be done again, and one that was cut off."""
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        kept = (line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= self.first)
        write_atomically(self.path, "".join(kept).encode())

    def report(self, done: int, measured: Measured) -> TrainStep:
        """A step's numbers with its pace."""
        seconds = (time.monotonic() - self.started) / (done - self.first)
        return TrainStep(done, *measured, self.batch_size / seconds, seconds * (self.steps - done))

    def write(self, report: TrainStep) -> dict[str, object] | None:
        """Add a step; returns the line that was written, if one was due."""
        self.recent.append(report)
        if report.step % self.log_every and report.step != self.steps:
            return None
        numbers = {key: value for key, value in report._asdict().items() if isinstance(value, float)}
        for key in ("loss", "image_loss", "mask_loss", "grad_norm"):
            if key in numbers:
                numbers[key] = fmean(getattr(step, key) for step in self.recent)
        line: dict[str, object] = {"step": report.step} | {key: _short(value) for key, value in numbers.items()}
        line["quarters"] = [None if mean is None else _short(mean) for mean in self._quarters().means]
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.recent.clear()
        return line

    def _quarters(self) -> Quarters:
        """Those of all steps since the line before."""
        sums, counts = zip(*(step.quarters for step in self.recent))
        return Quarters(tuple(map(sum, zip(*sums))), tuple(map(sum, zip(*counts))))


def _short(value: float) -> float:
    return float(f"{value:.6g}")
