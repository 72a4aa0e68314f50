"""Classifier-free guidance (Ho & Salimans 2022): away from what a model paints of anything, towards one class."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dmix_core import Denoiser, Prediction, Wrapper
from dmix_core.errors import CompositionError
from dmix_core.wrapper import family_of, joined, split

SAME = "expected the same of both, such as two classes of one model."


@dataclass(frozen=True, eq=False)
class ClassifierFreeGuidance(Wrapper):
    """The conditional denoiser, extrapolated away from the unconditional one.

        unconditional + scale (conditional - unconditional)

    of the clean predictions, which is the same combination of their epsilon, v or scores: each is affine in the other,
    and the weights sum to one. scale is 1 + w of the paper. Both denoisers are called at each step, as one batch where
    they are of one family.

    Attributes:
        denoiser: the conditional one, which is guided; its spread is kept.
        unconditional: of the same spec and table, such as the same model with the class that stands for any.
        scale: 1 leaves the denoiser as it is, without asking the other; 0 paints what the other does.
        clamp: bring the guided prediction back to [-1, 1]. Off for models whose values are not pictures.

    Raises:
        CompositionError: the two differ in spec or table.
    """

    unconditional: Denoiser
    scale: float = 1.0
    clamp: bool = True

    def __post_init__(self) -> None:
        specs = [(denoiser.spec.shape, denoiser.spec.codec) for denoiser in (self.denoiser, self.unconditional)]
        tables = self.denoiser.noise.alpha_bar, self.unconditional.noise.alpha_bar
        if specs[0] != specs[1]:
            raise CompositionError(
                f"The guided denoiser is {self.denoiser.spec}, the unconditional one {self.unconditional.spec}; {SAME}"
            )
        if not torch.equal(*tables):
            lengths = " and ".join(str(len(table) - 1) for table in tables)
            raise CompositionError(f"The two denoisers have different noise schedules, of {lengths} levels; {SAME}")

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        if self.scale == 1:
            return self.denoiser(x_t, t)
        conditional, unconditional = self._both(x_t, t)
        clean = unconditional.clean + self.scale * (conditional.clean - unconditional.clean)
        return conditional._replace(clean=clean.clamp(-1, 1) if self.clamp else clean)

    def _both(self, x_t: Tensor, t: int) -> Sequence[Prediction]:
        if self._together is None:
            return [denoiser(x_t, t) for denoiser in (self.denoiser, self.unconditional)]
        return split(self._together(torch.cat([x_t, x_t]), t), 2)

    @cached_property
    def _together(self) -> Denoiser | None:
        """Both as one batch, if they are of one family."""
        both = self.denoiser, self.unconditional
        return joined(both) if family_of(both[0]) == family_of(both[1]) else None
