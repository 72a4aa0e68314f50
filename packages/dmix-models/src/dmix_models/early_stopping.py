"""Early stopping: what is measured with each checkpoint, and which one stays.

The loss on crops that are not learned from rises, and samples begin to repeat training crops, after a number of steps
that grows with the number of pictures, while good samples come after about as many whatever their number (Bonnaire et
al., "Why Diffusion Models Don't Memorize", 2025, arXiv:2505.17638).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from dmix_core.files import write_atomically
from dmix_core.protocols import Denoiser
from dmix_data.batches import ANY, stream
from dmix_data.datasets import Crops, Part

from .train_config import TrainingError

FILE = "early-stopping.json"
DRAWS = 128
"""Crops, noises and levels, the same at each measurement: so many that its own scatter does not decide."""
SAMPLES, STEPS = 32, 50
"""By which copying is looked for; so many show it where there are three groups or more."""


class Measurement(BaseModel):
    """What was found with a checkpoint.

    Attributes:
        loss: on held-out crops; None where none are held out.
        copies: whether samples repeat training crops, surely.
    """

    model_config = ConfigDict(frozen=True)

    loss: float | None = None
    copies: bool = False


_Found = TypeAdapter(dict[int, Measurement])


class EarlyStopping:
    """The measurements of a training by step, as its folder has them.

    Args:
        folder: of the training.
        patience: after how many measurements without a lower loss it is enough; 0: never.
        done: the step that the training goes on from; what was measured later will be measured again.
    """

    def __init__(self, folder: Path, patience: int, done: int) -> None:
        self.path, self.patience = folder / FILE, patience
        self.found = {step: each for step, each in read_measurements(folder).items() if step <= done}

    @property
    def best(self) -> int | None:
        return best(self.found)

    @property
    def enough(self) -> bool:
        """Whether samples repeat training crops, or the loss has not fallen for as long as patience allows."""
        kept = self.best
        since = 0 if kept is None else sum(step > kept for step in self.found)
        return any(each.copies for each in self.found.values()) or 0 < self.patience <= since

    def add(self, step: int, measured: Measurement) -> None:
        self.found[step] = measured

    def write(self) -> None:
        write_atomically(self.path, _Found.dump_json(self.found) + b"\n")


def read_measurements(folder: Path) -> dict[int, Measurement]:
    """By step; none where nothing was measured, or the file is damaged: then they are made anew from here on."""
    try:
        return _Found.validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return {}


def best(found: Mapping[int, Measurement]) -> int | None:
    """The step of the checkpoint that stays; None before any measurement.

    Of those that do not copy, where there are any, it is that of the lowest loss, or the last where none was measured.
    """
    among = {step: each for step, each in found.items() if not each.copies} or found
    losses = {step: each.loss for step, each in among.items() if each.loss is not None}
    if losses:
        return min(losses, key=lambda step: losses[step])
    return max(among, default=None)


def sampled_kinds(kinds: Mapping[str | None, Denoiser]) -> Mapping[str | None, Denoiser]:
    """Of which samples are drawn to look for copies: of any class at once, where the model has learned that."""
    return {ANY: kinds[ANY]} if ANY in kinds else kinds


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
