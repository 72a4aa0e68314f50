"""Batches of windows: real ones in the same numbers for every row, and what a row adds to them."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmix_data.exceptions import DataError

from .detector_windows import Anywhere, AtSpots, Pasted, Perlin, Random, Source, Window
from .experiment_config import Addition, Row, Training
from .photographs import GeneratedSet, Photograph, chosen, generated_photographs

SYNTHETIC_PART = 0.5  # of the steps, after which "synthetic-first" adds no more


class Share(NamedTuple):
    """A source, how many of its windows a batch has on average, and until which fraction of the steps."""

    source: Source
    per_batch: float
    until: float = 1.0


class Batch(NamedTuple):
    """(B, 1, h, w) images in [-1, 1], and masks 0 or 1."""

    images: Tensor
    masks: Tensor


def shares(row: Row, training: Training, photographs: Sequence[Photograph], classes: tuple[str, ...]) -> list[Share]:
    """What the batches of a row are made of.

    Args:
        photographs: all of the training part.

    Raises:
        DataError: fewer real pictures than the row asks for, or a set that has none of what it is to add.
    """
    normal = [each for each in photographs if each.normal]
    defects = chosen([each for each in photographs if not each.normal], row.real)
    side, until = training.side, SYNTHETIC_PART if row.schedule == "synthetic-first" else 1.0
    real = [
        Share(AtSpots(defects, side), training.defects),
        Share(Anywhere([*normal, *defects], side), training.elsewhere),
    ]
    added = [
        Share(source, per_real * training.defects, until)
        for addition in row.add
        for source, per_real in _sources(addition, defects, normal, side, classes)
    ]
    return [each for each in real + added if each.per_batch]


def _sources(
    addition: Addition,
    defects: Sequence[Photograph],
    normal: Sequence[Photograph],
    side: int,
    classes: tuple[str, ...],
) -> list[tuple[Source, float]]:
    if addition.use == "perlin":
        return [(Perlin(normal, side), addition.ratio)]
    if addition.folder is None:
        return [(Pasted(defects, normal, side, addition.use == "poisson"), addition.ratio)]
    found = _generated(addition.folder, classes)
    if addition.negatives and not found.negatives:
        raise DataError(f"{str(addition.folder)!r} has neither twins nor near-misses; expected some for its negatives.")
    sources: list[tuple[Source, float]] = [(AtSpots(found.composites, side), addition.ratio)]
    if addition.negatives:
        sources.append((AtSpots(found.negatives, side), addition.negatives))
    return sources


@cache
def _generated(folder: Path, classes: tuple[str, ...]) -> GeneratedSet:
    """Read once, however many rows use it."""
    return generated_photographs(folder, classes)


def batches(shares: Sequence[Share], training: Training, seed: int) -> Iterator[Batch]:
    """As many batches as there are steps; windows are mirrored, turned and brought into other light.

    Each share has its own random numbers, so that rows of one seed learn from the same real windows.
    """
    randoms = [np.random.default_rng([seed, number]) for number in range(len(shares))]
    for step in range(training.steps):
        windows = [
            augmented(share.source.window(random), random, training.gain)
            for share, random in zip(shares, randoms, strict=True)
            for _ in range(_due(share, step, training.steps))
        ]
        yield Batch(
            torch.from_numpy(np.stack([each.image for each in windows]))[:, None],
            torch.from_numpy(np.stack([each.mask for each in windows]))[:, None].float(),
        )


def _due(share: Share, step: int, steps: int) -> int:
    """How many windows of a share a step's batch has, so that their average is right."""
    if step >= share.until * steps:
        return 0
    return int((step + 1) * share.per_batch) - int(step * share.per_batch)


def augmented(window: Window, random: Random, gain: float) -> Window:
    """A window mirrored, turned by quarters and in other light; its image scaled to [-1, 1]."""
    quarters, mirrored = int(random.integers(4)), bool(random.integers(2))
    columns = np.s_[:, :: -1 if mirrored else 1]
    image, mask = np.rot90(window.image[columns], quarters), np.rot90(window.mask[columns], quarters)
    light = gain ** random.uniform(-1, 1)
    return Window(np.clip(image * light, 0, 255).astype(np.float32) / 127.5 - 1, mask.copy())
