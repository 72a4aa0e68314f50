"""Where and how the networks of a run are computed: the device, the arithmetic, and the backend that calls them."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from .errors import BackendError, DenoiserError, DmixError
from .protocols import Denoiser, Size


class Network(Protocol):
    """The network of a diffusion model, of any family, or what a backend has made of one."""

    def __call__(self, x: Tensor, times: Tensor, labels: Tensor | None = None, /) -> Tensor:
        """Predict from noisy images x (B, C+M, h, w).

        Args:
            times: (1,) for the whole batch or (B,), int64; they count the levels from 0, so that level t is time t - 1.
            labels: (1,) or (B,) indices of classes, int64; None for a network without classes.

        Returns:
            (B, K, h, w) with K = C+M, or 2 (C+M) where the network predicts its variance as well.
        """
        ...


@runtime_checkable
class HasInferenceForm(Protocol):
    """A network that can be called faster where nothing is trained."""

    def for_inference(self) -> Network:
        """What predicts as the network does, now and after changes of its weights."""
        ...


@dataclass(frozen=True)
class Inputs:
    """What a network is called with in a run, for backends that compile or export it before the first call.

    Attributes:
        channels: C+M, those of x.
        size: (height, width) of x.
        classes: how many labels there are; 0: the network takes none.
        device: where x is, and where the network's parameters are.
        dtype: of the arithmetic, "float32" or "bfloat16"; x and the result are float32 either way.
    """

    channels: int
    size: Size
    classes: int
    device: torch.device
    dtype: str


class Backend(Protocol):
    """Runs networks. It is hashable: equal backends run a network alike, and denoisers share what was made of it."""

    def __hash__(self) -> int: ...

    def __call__(self, network: Network, inputs: Inputs) -> Network:
        """What is called in the network's place, with the same arguments; its results are float32.

        Raises:
            BackendError: it cannot run this network, and why.
        """
        ...


@runtime_checkable
class RunsNetwork(Protocol):
    """A denoiser that calls a network, which a backend can run for it."""

    def with_backend(self, backend: Backend) -> Denoiser:
        """The same denoiser with its network run by this backend.

        Raises:
            BackendError: the backend cannot run the network.
        """
        ...


@dataclass(frozen=True)
class Eager:
    """torch as it is, one operation after the other; bfloat16 by autocast."""

    def __call__(self, network: Network, inputs: Inputs) -> Network:
        return in_arithmetic(network.for_inference() if isinstance(network, HasInferenceForm) else network, inputs)


def in_arithmetic(network: Network, inputs: Inputs) -> Network:
    """The network in the arithmetic of the inputs, bfloat16 by autocast; its results are float32."""

    def run(x: Tensor, times: Tensor, labels: Tensor | None = None, /) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=inputs.dtype == "bfloat16"):
            return network(x, times, labels).float()

    return run


@dataclass(frozen=True)
class Compiled:
    """torch.compile: faster calls after a start of a minute or more; results differ in their last digits.

    Args:
        mode: as torch.compile has it.
    """

    mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"

    def __call__(self, network: Network, inputs: Inputs) -> Network:
        compiled = in_arithmetic(torch.compile(network, mode=self.mode), inputs)

        def run(x: Tensor, times: Tensor, labels: Tensor | None = None, /) -> Tensor:
            try:
                return compiled(x, times, labels)
            except DmixError:
                raise
            except Exception as error:  # the compiler's errors have no class in common
                reason = str(error).strip().partition("\n")[0]
                raise BackendError(
                    f"torch.compile cannot run the network ({type(error).__name__}: {reason}). Expected a working C++ "
                    "compiler, or Triton on a GPU; the backend 'torch' needs neither."
                ) from error

        return run


Arithmetic = Literal["float32", "bfloat16"]
"""In what networks compute; what they are given and what they predict is float32 either way."""


def arithmetic(dtype: torch.dtype | str) -> Arithmetic:
    """The name of a dtype in which networks compute.

    Raises:
        DenoiserError: it is neither float32 nor bfloat16.
    """
    match str(dtype).removeprefix("torch."):
        case "float32":
            return "float32"
        case "bfloat16":
            return "bfloat16"
        case name:
            raise DenoiserError(f"The dtype is {name}; expected float32 or bfloat16, in which networks compute.")


@dataclass(frozen=True)
class Compute:
    """Where and how a run computes.

    Attributes:
        device: as torch names it: "cpu", "cuda", "cuda:1", "mps".
        dtype: the arithmetic of networks, "float32" or "bfloat16".
        backend: what calls the networks.
    """

    device: str = "cpu"
    dtype: str = "float32"
    backend: Backend = Eager()
