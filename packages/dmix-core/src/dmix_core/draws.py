"""Noise that depends on what it is for, and on nothing else.

Every draw is a function of (seed, sample, region, purpose, index): adding a region, changing the batch size, resuming
or moving to another device leaves every other draw as it was. The generator is Philox, whose stream is defined by its
key alone (Salmon et al. 2011).
"""

from collections.abc import Sequence
from functools import partial
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor


def normal(
    shape: Sequence[int], *, seed: int, samples: Sequence[int], region: str, purpose: str, index: int = 0
) -> Tensor:
    """Standard normal noise (len(samples), *shape), float32, on the CPU.

    Args:
        shape: of one sample, (C, h, w).
        samples: the samples' numbers.
        region: the name of the region that it is for.
        purpose: what for: "start", "step", "climb", "others".
        index: which of the draws for this purpose.
    """
    noise = np.empty((len(samples), *shape), np.float32)
    for row, sample in zip(noise, samples, strict=True):
        key = blake2b(f"{seed}/{sample}/{region}/{purpose}".encode(), digest_size=16).digest()
        philox = np.random.Philox(key=np.frombuffer(key, np.uint64), counter=[0, 0, 0, index])
        np.random.Generator(philox).standard_normal(out=row, dtype=np.float32)
    return torch.from_numpy(noise)


class RegionNoise:
    """The noise of one region in one run, (B, C, h, w) on a device; see `normal` for what it depends on."""

    def __init__(
        self, shape: Sequence[int], *, seed: int, samples: Sequence[int], region: str, device: torch.device
    ) -> None:
        self._draw = partial(normal, shape, seed=seed, samples=samples, region=region)
        self._device = device

    def __call__(self, purpose: str, index: int = 0) -> Tensor:
        """The draw of this number for this purpose."""
        return self._draw(purpose=purpose, index=index).to(self._device)
