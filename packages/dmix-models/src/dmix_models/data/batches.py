"""Batches as a function of (seed, step), whoever asks: resuming and several processes change nothing."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmix_core.draws import normal

from .augment import Augmentation
from .crops import Crops


class Batch(NamedTuple):
    """What one training step learns from."""

    clean: Tensor
    """(B, 3 + M, h, w) float32 in [-1, 1]."""
    noise: Tensor
    """Standard normal, shaped like `clean`."""
    t: Tensor
    """(B,) int64 levels in 1..T, uniform."""

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class Batches:
    """The batches of a training run; every item comes once in an epoch, in an order of its own.

    Args:
        levels: T of the noise schedule.
        batch_size: over all processes.
    """

    def __init__(self, crops: Crops, augment: Augmentation, levels: int, batch_size: int, seed: int):
        self.crops, self.augment, self.levels = crops, augment, levels
        self.batch_size, self.seed = batch_size, seed

    def __call__(self, step: int, rows: Sequence[int] | None = None) -> Batch:
        """The batch of a step, or the rows of it that one process takes."""
        rows = range(self.batch_size) if rows is None else rows
        numbers = [step * self.batch_size + row for row in rows]
        clean = torch.from_numpy(np.stack([self._crop(number) for number in numbers])).permute(0, 3, 1, 2)
        noise = normal(clean.shape[1:], seed=self.seed, samples=numbers, region="training", purpose="noise")
        t = [int(stream(self.seed, 1, number).integers(1, self.levels + 1)) for number in numbers]
        return Batch(clean / 127.5 - 1, noise, torch.tensor(t))

    def ahead(self, start: int, stop: int, rows: Sequence[int] | None = None) -> Iterator[Batch]:
        """The batches of steps start..stop-1; while one is learned from, the next is made."""
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self, start, rows)
            for step in range(start, stop):
                batch, coming = coming.result(), pool.submit(self, step + 1, rows)
                yield batch

    def _crop(self, number: int) -> NDArray[np.uint8]:
        epoch, place = divmod(number, len(self.crops))
        random = stream(self.seed, 0, number)
        return self.augment(self.crops.cut(order(self.seed, epoch, len(self.crops))[place], random), random)


def stream(seed: int, purpose: int, number: int) -> np.random.Generator:
    """A generator for one purpose and one number; its draws depend on nothing else."""
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[0, 0, 0, number]))


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, length: int) -> list[int]:
    """The order of the items in an epoch."""
    return [int(item) for item in stream(seed, 2, epoch).permutation(length)]
