"""Noise that depends on what it is for, and on nothing else.

Every draw is a function of (seed, sample, region, purpose, index): adding a region, changing the batch size, resuming
or moving to another device leaves every other draw as it was. The generator is Philox, whose stream is defined by its
key alone (Salmon et al. 2011).
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.random  # it is imported when first used otherwise, and swallows a Ctrl-C meanwhile
import torch
from numpy.typing import NDArray
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
        Stream(f"{seed}/{sample}/{region}/{purpose}").fill(row, index)
    return torch.from_numpy(noise)


class Stream:
    """One sample's draws for one purpose; each is found by its number, in any order."""

    def __init__(self, name: str) -> None:
        key = blake2b(name.encode(), digest_size=16).digest()
        self._philox = np.random.Philox(key=np.frombuffer(key, np.uint64))
        self._generator = np.random.Generator(self._philox)
        self._start = self._philox.state  # nothing of it is drawn yet

    def fill(self, row: NDArray[np.float32], index: int) -> None:
        """Draw number `index` into an array."""
        self._start["state"]["counter"][3] = index
        self._philox.state = self._start
        self._generator.standard_normal(out=row, dtype=np.float32)


class RegionNoise:
    """The noise of one region in one run, (B, C, h, w) on a device: that of `normal`, with streams that are kept."""

    def __init__(
        self, shape: Sequence[int], *, seed: int, samples: Sequence[int], region: str, device: torch.device
    ) -> None:
        self._shape, self._device = (len(samples), *shape), device
        self._names = [f"{seed}/{sample}/{region}" for sample in samples]
        self._streams: dict[str, list[Stream]] = {}

    def __call__(self, purpose: str, index: int = 0) -> Tensor:
        """The draw of this number for this purpose."""
        if purpose not in self._streams:
            self._streams[purpose] = [Stream(f"{name}/{purpose}") for name in self._names]
        noise = np.empty(self._shape, np.float32)
        for row, stream in zip(noise, self._streams[purpose], strict=True):
            stream.fill(row, index)
        return torch.from_numpy(noise).to(self._device)
