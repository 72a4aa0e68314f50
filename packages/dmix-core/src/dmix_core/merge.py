"""The paper's merge rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .errors import CompositionError
from .mattes import blend, stack
from .protocols import Layer, Merged


@dataclass(frozen=True)
class HardMask:
    """Each pixel belongs to the topmost region whose predicted mask reaches the threshold (the paper's merge).

    Attributes:
        threshold: in (0, 1], on the matte (m + 1) / 2.
    """

    threshold: float = 0.5
    reach: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise CompositionError(f"threshold is {self.threshold}; expected a number above 0 and at most 1.")

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        owned = [(layer.matte >= self.threshold).to(layer.matte.dtype) for layer in layers]
        return blend(layers, stack(owned))
