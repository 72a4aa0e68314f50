"""Draws that depend on what they are for alone, the same with every version of numpy.

Only the raw bits of Philox are used, which its key defines (Salmon et al. 2011); numpy's distributions may change.
"""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


class Draws:
    """The draws for one purpose, which a name of several parts tells from all others, in their order."""

    def __init__(self, *name: object) -> None:
        key = blake2b("/".join(map(str, name)).encode(), digest_size=16).digest()
        self._bits = np.random.Philox(key=np.frombuffer(key, "<u8"))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number from low up to high, which it does not reach unless both are equal."""
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def below(self, count: int) -> int:
        """A whole number 0..count - 1."""
        return min(int(self.uniform() * count), count - 1)

    def weighted(self, weights: Sequence[float]) -> int:
        """The number of one of the weights, each drawn as often as its share of their sum."""
        sums = [*accumulate(weights)]
        point = self.uniform() * sums[-1]
        return next((i for i, total in enumerate(sums) if point < total), len(sums) - 1)

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in an order where each is as likely as any other."""
        order = [*items]
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def seed(self) -> int:
        """A seed, 0 up to 2**63 - 1."""
        return int(self._bits.random_raw()) >> 1
