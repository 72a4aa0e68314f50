"""The numbers of a training: what a step reports, and metrics.jsonl."""

import json
import logging
import os
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from dmix_core.files import write_atomically

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"


class Quarters(NamedTuple):
    """The weighted squared errors of a batch by the quarter of the levels, 1..T, that they were drawn in."""

    sums: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def means(self) -> list[float | None]:
        """The loss of each quarter, from the clean end; None where no sample fell into it."""
        return [total / count if count else None for total, count in zip(self.sums, self.counts, strict=True)]


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
    held_out: float | None = None
    """The loss on held-out crops, where it was measured."""
    saved: Path | None = None
    """The checkpoint, where one was written."""
    preview: Path | None = None
    page: Path | None = None
    """The page of the run, where it was written again."""
    verdicts: tuple[str, ...] = ()
    """The memorisation report in sentences, after the last step on few pictures."""
    notes: tuple[str, ...] = ()
    """What else a user should know, such as the precision that was chosen."""


class Measured(NamedTuple):
    """The numbers of a step, as in TrainStep."""

    loss: float
    image_loss: float
    mask_loss: float | None
    quarters: Quarters
    learning_rate: float
    grad_norm: float


AVERAGED = ("loss", "image_loss", "mask_loss", "grad_norm")


class Pending(BaseModel):
    """Sums over the steps since the last line; a training state holds them, so that an interruption changes no line."""

    model_config = ConfigDict(extra="forbid")

    steps: NonNegativeInt = 0
    totals: dict[str, float] = {}
    """Of each number in AVERAGED that a step has."""
    sums: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    counts: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """With `sums`, the quarters."""

    def plus(self, step: TrainStep) -> "Pending":
        """With one step more."""
        numbers = {key: value for key in AVERAGED if (value := getattr(step, key)) is not None}
        return Pending.model_validate(
            {
                "steps": self.steps + 1,
                "totals": {key: self.totals.get(key, 0.0) + value for key, value in numbers.items()},
                "sums": [a + b for a, b in zip(self.sums, step.quarters.sums, strict=True)],
                "counts": [a + b for a, b in zip(self.counts, step.quarters.counts, strict=True)],
            }
        )


class Metrics:
    """metrics.jsonl: a line every `log_every` steps, with means over the steps since the line before."""

    def __init__(self, path: Path, done: int, steps: int, batch_size: int, log_every: int, pending: Pending):
        self.path, self.first = path, done
        self.steps, self.batch_size, self.log_every = steps, batch_size, log_every
        self.started = time.monotonic()
        self.pending = pending

    def start(self) -> None:
        """Drop the lines of steps that will be done again, and what is no line."""
        kept = [line for line in read_metrics(self.path) if line["step"] <= self.first]
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def report(self, done: int, measured: Measured) -> TrainStep:
        """A step's numbers with its pace."""
        seconds = (time.monotonic() - self.started) / (done - self.first)
        return TrainStep(done, *measured, self.batch_size / seconds, seconds * (self.steps - done))

    def write(self, report: TrainStep) -> dict[str, object] | None:
        """Add a step; returns the line that was written, if one was due.

        It is on the disk when this returns: a training state that is saved after it relies on that.
        """
        self.pending = self.pending.plus(report)
        if report.step % self.log_every and report.step != self.steps:
            return None
        line = self._line(report)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.pending = Pending()
        return line

    def _line(self, report: TrainStep) -> dict[str, object]:
        numbers = {key: value for key, value in report._asdict().items() if isinstance(value, float)}
        numbers |= {key: total / self.pending.steps for key, total in self.pending.totals.items()}
        means = Quarters(self.pending.sums, self.pending.counts).means
        line: dict[str, object] = {"step": report.step} | {key: _short(value) for key, value in numbers.items()}
        return line | {"quarters": [None if mean is None else _short(mean) for mean in means]}


def _short(value: float) -> float:
    return float(f"{value:.6g}")


# ---- reading --------------------------------------------------------------------------------------------------

Number = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)] | None  # which a chart can show


class _Line(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    step: int = Field(ge=0, le=2**53)
    loss: Number = None
    image_loss: Number = None
    mask_loss: Number = None
    learning_rate: Number = None
    grad_norm: Number = None
    images_per_second: Number = None
    eta: Number = None
    quarters: list[Number] | None = Field(None, min_length=4, max_length=4)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl.

    A last line that is still being written is left out, and with a warning each that is damaged: curves have gaps
    then, and nothing else is lost.
    """
    text = path.read_bytes().decode(errors="replace") if path.exists() else ""
    whole = [line for line in text.split("\n")[:-1] if line.strip()]
    found = [line for line in map(_read_line, whole) if line]
    if len(found) < len(whole):
        logger.warning("%s: left out %d damaged of %d lines.", path, len(whole) - len(found), len(whole))
    return found


def _read_line(text: str) -> dict[str, Any] | None:
    try:
        _Line.model_validate_json(text)
        return json.loads(text)
    except (ValidationError, ValueError, RecursionError):
        return None
