"""Early stopping: the loss on crops that a training does not learn from, and the step at which it was lowest."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from dmix_core.files import write_atomically
from dmix_data.batches import stream
from dmix_data.datasets import Crops, Part

from .train_config import TrainingError

FILE = "held-out.json"
DRAWS = 128
"""Crops, noises and levels, the same at each measurement: so many that its own scatter does not decide."""

_Losses = TypeAdapter(dict[int, float])


class HeldOut:
    """The losses of a training on its held-out crops, by step, as its folder has them.

    Args:
        folder: of the training.
        patience: after how many measurements without a lower loss it is enough; 0: never.
        done: the step that the training goes on from; what was measured later will be measured again.
    """

    def __init__(self, folder: Path, patience: int, done: int) -> None:
        self.path, self.patience = folder / FILE, patience
        self.losses = {step: loss for step, loss in read_losses(folder).items() if step <= done}

    @property
    def best(self) -> int | None:
        return lowest(self.losses)

    @property
    def enough(self) -> bool:
        """Whether the loss has not fallen for as long as patience allows."""
        since = [step for step in self.losses if self.best is not None and step > self.best]
        return 0 < self.patience <= len(since)

    def add(self, step: int, loss: float) -> None:
        self.losses[step] = loss

    def write(self) -> None:
        write_atomically(self.path, f"{json.dumps(self.losses)}\n".encode())


def read_losses(folder: Path) -> dict[int, float]:
    """By step; none where nothing was held out, or the file is damaged: then they are measured anew from here on."""
    try:
        return _Losses.validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return {}


def lowest(losses: Mapping[int, float]) -> int | None:
    """The step of the lowest loss; None before any was measured."""
    return min(losses, key=lambda step: losses[step]) if losses else None


def divided(crops: Crops, share: float, seed: int, classes: Sequence[str] = ()) -> tuple[Crops, Crops | None]:
    """The crops to learn from, and those of a share of the groups, which are held out; None: of no group.

    Args:
        classes: of the model, each of which has to be learned from something.

    Raises:
        TrainingError: too few groups, or a class that would be learned from nothing.
    """
    if not share:
        return crops, None
    groups = [crops.place(item).group for item in range(len(crops))]
    names = sorted({*groups})
    count = max(1, round(share * len(names)))
    if count >= len(names):
        raise TrainingError(
            f"hold_out is {share} of {len(names)} groups; expected two groups or more, of which one is left to learn "
            "from. Pictures of one thing, such as the exposures of a tile, are one group."
        )
    held = {names[number] for number in stream(seed, 7, 0).permutation(len(names))[:count]}
    learned, kept = (
        Part(crops, np.flatnonzero([(group in held) == out for group in groups]).tolist()) for out in (False, True)
    )
    if lost := {*kept.class_names} & {*classes} - {*learned.class_names}:
        raise TrainingError(
            f"hold_out {share} leaves no crop of {', '.join(map(str, lost))} to learn from; choose another seed, or "
            "a smaller share."
        )
    return learned, kept
