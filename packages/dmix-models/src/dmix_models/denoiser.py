"""A network as a Denoiser: it predicts the clean image, whatever the network was trained to predict."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from types import MappingProxyType
from typing import Self
from weakref import WeakValueDictionary

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dmix_core.backends import Arithmetic, Backend, Eager, Inputs, Network, arithmetic
from dmix_core.errors import DenoiserError, did_you_mean
from dmix_core.protocols import Prediction, Size, Spec
from dmix_core.returned import network_of
from dmix_data.datasets import NONE

from .config import ModelConfig, Variance

Dtype = Arithmetic

_RUNNING: WeakValueDictionary[tuple[Hashable, ...], Network] = WeakValueDictionary()
"""What backends have made of networks, by network, backend, arithmetic, device and size, while a denoiser uses both."""


class NetworkDenoiser:
    """The Denoiser of a ModelConfig and its network, which is put into eval mode.

    Args:
        dtype: the network's arithmetic; predictions are float32 either way.
        label: the class that a class-conditional model paints.
        sha256: the checksum of the file of weights, for recipes.
        card: what its model card states of it, such as its "licence" and its "training data".

    Attributes:
        backend: what runs the network; torch itself, unless `with_backend` has chosen another one.
    """

    def __init__(
        self,
        config: ModelConfig,
        network: nn.Module,
        *,
        dtype: Dtype = "float32",
        label: str | None = None,
        sha256: str | None = None,
        card: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.config = config
        self.network = network.eval()
        self.dtype = dtype
        self.label = label
        self.sha256 = sha256
        self.card = card
        self.noise = config.noise.schedule()
        self._classes = [None if label is None else self._class_index(label)]
        self._run_by(Eager())

    @property
    def spec(self) -> Spec:
        return self.config.spec._replace(empty=self.config.pairs and self.label == NONE)

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        """Predict from x_t (B, C+M, h, w) at level t, 1 <= t <= T.

        The clean image is clamped to [-1, 1]; a learned spread is not clamped, as in guided-diffusion.
        """
        self._check(x_t, t)
        x_t = x_t.float()
        output, spread = split_variance(self._run(x_t, t), self.config.variance)
        clean = self.noise.clean_from(self.config.prediction, output, x_t, t)
        return Prediction(clean.clamp(-1, 1), spread)

    def with_label(self, label: str) -> NetworkDenoiser:
        """The same model painting this class; the network is shared."""
        other = copy(self)
        other.label, other._classes = label, [self._class_index(label)]
        return other

    def with_size(self, size: Size) -> NetworkDenoiser:
        """The same model painting on a grid of another size (height, width), in pixels at its own scale.

        A network of convolutions paints more of what it was trained on: on a longer grid longer objects, if it has seen
        parts of such (`DataOptions.large_objects`).

        Raises:
            DenoiserError: the network cannot paint on it.
        """
        other = copy(self)
        try:
            other.config = ModelConfig.model_validate(self.config.model_dump() | {"size": size})
        except ValidationError as error:
            raise DenoiserError(
                f"Model {self.config.name!r} cannot paint {size[1]}x{size[0]} pixels; expected sides that are "
                f"multiples of {self.config.network.multiple}."
            ) from error
        other._run_by(self.backend)
        return other

    def with_backend(self, backend: Backend) -> NetworkDenoiser:
        """The same model with its network run by this backend; what the backend makes of the network is shared.

        Raises:
            BackendError: the backend cannot run the network.
        """
        other = copy(self)
        other._run_by(backend)
        return other

    @property
    def family(self) -> Hashable:
        """Equal for denoisers of one network and size, whatever their labels: they can be `joined`."""
        return id(self._running), self.spec.size

    def joined(self, members: Sequence[NetworkDenoiser]) -> NetworkDenoiser:
        """The denoiser of a batch in equal parts, one for each of these members of its family, with their labels."""
        together = copy(self)
        together._classes = [label for member in members for label in member._classes]
        return together

    def kinds(self) -> dict[str | None, NetworkDenoiser]:
        """The same model painting each of its classes, by their names; under None the model itself without any."""
        return {name: self.with_label(name) for name in self.config.classes} or {None: self}

    def object_kinds(self) -> dict[str | None, NetworkDenoiser]:
        """The same without the class of windows that show no object."""
        return {name: self.with_label(name) for name in self.config.object_classes} or {None: self}

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | str | None = None) -> Self:
        """Move the network, or run it in another arithmetic (float32 or bfloat16), and return self."""
        if dtype is not None:
            self.dtype = arithmetic(dtype)
        if device is not None:
            self.network.to(device)
        self._run_by(self.backend)
        return self

    @property
    def multiple(self) -> int:
        """Of which the sides of its grids are multiples."""
        return self.config.network.multiple

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _run(self, x_t: Tensor, t: int) -> Tensor:
        # one time for the batch; the network counts from 0, as guided-diffusion does
        times = torch.tensor([t - 1], device=x_t.device)
        return self._running(x_t, times, self._labels(x_t))

    def _run_by(self, backend: Backend) -> None:
        self.backend = backend
        key = id(self.network), backend, self.dtype, self.device, self.spec.size
        running = _RUNNING.get(key)
        if running is None:
            inputs = Inputs(self.spec.channels, self.spec.size, len(self.config.classes), self.device, self.dtype)
            running = _RUNNING[key] = network_of(backend, backend(self.network, inputs))
        self._running = running

    def _labels(self, x_t: Tensor) -> Tensor | None:
        """One label for the batch, or one for each of its samples; None without classes."""
        if not self.config.classes:
            return None
        labels = torch.tensor(self._classes, device=x_t.device)
        return labels if len(labels) == 1 else labels.repeat_interleave(len(x_t) // len(labels))

    def _class_index(self, label: str) -> int:
        if label in self.config.classes:
            return self.config.classes.index(label)
        known = ", ".join(self.config.classes[:10]) + (", ..." if len(self.config.classes) > 10 else "")
        raise DenoiserError(
            f"Model {self.config.name!r} knows no class {label!r}.{did_you_mean(label, self.config.classes)} "
            + (f"Its classes: {known}." if known else "It is not class-conditional; leave the label out.")
        )

    def _check(self, x_t: Tensor, t: int) -> None:
        if not 1 <= t <= self.noise.steps:
            raise DenoiserError(
                f"Level {t} is outside 1..{self.noise.steps}, the levels of model {self.config.name!r}."
            )
        if x_t.shape[1:] != (self.spec.channels, *self.spec.size):
            raise DenoiserError(
                f"Model {self.config.name!r} was given {tuple(x_t.shape)}; expected "
                f"(B, {self.spec.channels}, {self.spec.size[0]}, {self.spec.size[1]})."
            )
        if self.config.classes and None in self._classes:
            raise DenoiserError(
                f"Model {self.config.name!r} is class-conditional; choose a class with with_label(...), "
                f"such as {self.config.classes[0]!r}."
            )


def split_variance(output: Tensor, variance: Variance) -> tuple[Tensor, Tensor | None]:
    """A network's output (B, K, h, w), or (B, 2K, h, w) with a learned variance: what it predicts, and the spread."""
    match variance:
        case "fixed-small":
            return output, None
        case "fixed-large":
            return output, output.new_ones(())
        case "learned-range":
            output, v = output.chunk(2, dim=1)
            return output, (v + 1) / 2  # Nichol & Dhariwal 2021, eq. 15, with v from [-1, 1]
