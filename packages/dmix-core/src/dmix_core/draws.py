"""Noise that depends on what it is for, and on nothing else.

Every draw is a function of (seed, sample, region, purpose, index): adding a region, changing the batch size, resuming
or moving to another device leaves every other draw as it was. The generator is Philox, whose stream is defined by its
key alone (Salmon et al. 2011).
"""

from collections.abc import Sequence
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
    for row, sample in zip(noise, samples):
        key = blake2b(f"{seed}/{sample}/{region}/{purpose}".encode(), digest_size=16).digest()
        philox = np.random.Philox(key=np.frombuffer(key, np.uint64), counter=[0, 0, 0, index])
        np.random.Generator(philox).standard_normal(out=row, dtype=np.float32)
    return torch.from_numpy(noise)
