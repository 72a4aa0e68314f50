"""Batches as a function of (seed, step), whoever asks: resuming and several processes change nothing."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmix_core.draws import normal

from .augment import Augmentation
from .datasets import Crops, show_objects
from .exceptions import DataError

LOADERS = min(4, os.cpu_count() or 1)  # threads; decoding a picture takes longer than a step on a GPU
ANY = "any"  # the label of an object whose class is withheld, for guidance without a classifier


class Batch(NamedTuple):
    """What one training step learns from."""

    clean: Tensor
    """(B, 3 + M, h, w) float32 in [-1, 1]."""
    noise: Tensor
    """Standard normal, shaped like `clean`."""
    t: Tensor
    """(B,) int64 levels in 1..T, uniform."""
    labels: Tensor
    """(B,) int64 indices of classes; zeros without classes."""

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class Batches:
    """The batches of a training run; every item comes once in an epoch, in an order of its own.

    Args:
        levels: T of the noise schedule.
        batch_size: over all processes.
        classes: of a class-conditional model; their places are the labels. That of an object becomes ANY, which must
            be among them, with the probability `label_dropout`.

    Raises:
        DataError: an item shows no class or another one.
    """

    def __init__(
        self,
        crops: Crops,
        augment: Augmentation,
        levels: int,
        batch_size: int,
        seed: int,
        classes: Sequence[str] = (),
        label_dropout: float = 0.0,
    ):
        self.crops, self.augment, self.levels = crops, augment, levels
        self.batch_size, self.seed = batch_size, seed
        self.classes, self.label_dropout = tuple(classes), label_dropout
        self.labels = _indices(crops, self.classes)
        self._show_objects = show_objects(crops)

    def __call__(self, step: int, rows: Sequence[int] | None = None) -> Batch:
        """The batch of a step, or the rows of it that one process takes."""
        rows = range(self.batch_size) if rows is None else rows
        numbers = [step * self.batch_size + row for row in rows]
        clean = torch.from_numpy(np.stack([self._crop(number) for number in numbers])).permute(0, 3, 1, 2)
        noise = normal(clean.shape[1:], seed=self.seed, samples=numbers, region="training", purpose="noise")
        t = [int(stream(self.seed, 1, number).integers(1, self.levels + 1)) for number in numbers]
        labels = [self._label(number) for number in numbers]
        return Batch(clean / 127.5 - 1, noise, torch.tensor(t), torch.tensor(labels))

    def ahead(self, start: int, stop: int, rows: Sequence[int] | None = None) -> Iterator[Batch]:
        """The batches of steps start..stop-1; while one is learned from, the next ones are made."""
        with ThreadPoolExecutor(LOADERS) as pool:
            steps = iter(range(start, stop))
            coming = deque(pool.submit(self, step, rows) for step in islice(steps, LOADERS))
            try:
                while coming:
                    batch = coming.popleft().result()
                    coming.extend(pool.submit(self, step, rows) for step in islice(steps, 1))
                    yield batch
            finally:
                pool.shutdown(cancel_futures=True)

    def _item(self, number: int) -> int:
        epoch, place = divmod(number, len(self.crops))
        return order(self.seed, epoch, len(self.crops))[place]

    def _crop(self, number: int) -> NDArray[np.uint8]:
        random = stream(self.seed, 0, number)
        return self.augment(self.crops.cut(self._item(number), random), random)

    def _label(self, number: int) -> int:
        item = self._item(number)
        hidden = self.label_dropout and stream(self.seed, 4, number).random() < self.label_dropout
        return self.classes.index(ANY) if hidden and self._show_objects[item] else self.labels[item]


def _indices(crops: Crops, classes: Sequence[str]) -> list[int]:
    """The label of each item."""
    if not classes:
        return [0] * len(crops)
    strange = [name for name in crops.class_names if name not in classes or name == ANY]
    if strange:
        raise DataError(
            f"{len(strange)} of {len(crops)} crops show {strange[0] or 'no named class'!r}; expected each to show one "
            f"of the model's classes: {', '.join(name for name in classes if name != ANY)}."
        )
    return [classes.index(name) for name in crops.class_names if name]


def stream(seed: int, purpose: int, number: int) -> np.random.Generator:
    """A generator for one purpose and one number; its draws depend on nothing else."""
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[0, 0, 0, number]))


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, length: int) -> list[int]:
    """The order of the items in an epoch."""
    return [int(item) for item in stream(seed, 2, epoch).permutation(length)]
