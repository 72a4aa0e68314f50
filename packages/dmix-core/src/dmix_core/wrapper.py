"""Denoisers around another one, and denoisers that run as one batch."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from torch import Tensor

from .noise import NoiseSchedule
from .protocols import BatchedDenoiser, Denoiser, Prediction, Spec


@dataclass(frozen=True, eq=False)
class Wrapper:
    """A denoiser around another one: the base class of guidance and its like, whose settings are dataclass fields.

    Subclasses are dataclasses of the same kind (`frozen=True, eq=False`) and define the call. Wrappers of one class
    and equal settings around denoisers of one family run as one batch. A call may ask the denoisers inside about a
    larger batch, if it keeps the order of the samples: all that belongs to the first sample first, or the whole batch
    several times over by a denoiser that is `joined` for that.

    Attributes:
        denoiser: the one inside.
    """

    denoiser: Denoiser

    @property
    def spec(self) -> Spec:
        """That of the denoiser inside, except that a prediction may come to depend on its state."""
        return self.denoiser.spec._replace(still=False)

    @property
    def noise(self) -> NoiseSchedule:
        return self.denoiser.noise

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        """Predict from x_t (B, C+M, h, w) at level t, 1 <= t <= T."""
        raise NotImplementedError

    @property
    def family(self) -> Hashable:
        """Equal for wrappers of one class and equal settings, around denoisers of equal families."""
        if "__dataclass_params__" not in vars(type(self)):  # its settings may lie anywhere: alike is only itself
            return id(self)
        return type(self), *(_identity(value) for value in self._settings().values())

    def joined(self, members: Sequence[Self]) -> Self:
        """The wrapper of a batch in equal parts: the denoisers in its settings are joined, one by one."""
        settings = [member._settings() for member in members]
        parts = {name: [each[name] for each in settings] for name in settings[0]}
        return replace(self, **{name: joined(part) for name, part in parts.items() if isinstance(part[0], Denoiser)})

    def _settings(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def family_of(denoiser: Denoiser) -> Hashable:
    """Equal for denoisers that can be `joined`; a denoiser without a family can be joined with itself."""
    return denoiser.family if isinstance(denoiser, BatchedDenoiser) else id(denoiser)


def joined(denoisers: Sequence[Denoiser]) -> Denoiser:
    """The denoiser of a batch in equal parts, one for each of these, which are of one family."""
    first = denoisers[0]
    return first.joined(denoisers) if isinstance(first, BatchedDenoiser) else first


def split(prediction: Prediction, parts: int) -> list[Prediction]:
    """A batch's prediction cut back into those of its equal parts."""
    clean, spread = prediction
    spreads = [None] * parts if spread is None else spread.expand_as(clean).chunk(parts)
    return [Prediction(*part) for part in zip(clean.chunk(parts), spreads, strict=True)]


def _identity(setting: object) -> Hashable:
    """Equal for settings that are alike: a denoiser's family, a value, or the object itself."""
    if isinstance(setting, Denoiser):
        return family_of(setting)
    try:
        hash(setting)
    except TypeError:
        return id(setting)
    return setting
