"""The exponential moving average of a network's weights, which samples better than the weights themselves."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class EMA:
    """An average of named weights, warmed up so that the first steps are soon forgotten.

    Args:
        weights: the names and values to follow.
        max_decay: the decay once it is warm; before that it is (1 + step) / (10 + step).
    """

    def __init__(self, weights: Iterable[tuple[str, Tensor]], max_decay: float = 0.9999):
        self.max_decay = max_decay
        self.average = {name: value.detach().clone() for name, value in weights}

    def decay(self, step: int) -> float:
        return min(self.max_decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, weights: Iterable[tuple[str, Tensor]], step: int) -> None:
        """Move the average towards the weights after training step number `step`, counted from 0."""
        values = dict(weights)
        torch._foreach_lerp_(
            list(self.average.values()), [values[name].detach() for name in self.average], 1 - self.decay(step)
        )

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.average)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, value in self.average.items():
            value.copy_(state[name])
