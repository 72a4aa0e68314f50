"""Do these weights fit this network? If not: where first, and what is the likely cause?"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dmix_core.errors import DmixError

from .networks import NetworkConfig, Shapes
from .unet_layers import channels_last

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Of weights that are stored."""


class CheckpointError(DmixError):
    """A checkpoint that cannot be read or written, or whose weights do not fit its network."""


def build(config: NetworkConfig, weights: Mapping[str, Tensor], source: str) -> nn.Module:
    """The network of a config with a float32 copy of these weights; `source` names them in errors."""
    check_weights(weights, config, source)
    with torch.device("meta"):
        network = config.build()
    # copied, because the last digit of a matrix product depends on how the memory is aligned
    copies = {key: tensor.to(torch.float32, copy=True) for key, tensor in weights.items()}
    network.load_state_dict(copies, assign=True)
    return channels_last(network)


def check_weights(weights: Mapping[str, Tensor], config: NetworkConfig, source: str) -> None:
    """Check that weights are plain numbers and fit the network, before memory is taken for them.

    Raises:
        CheckpointError: the first that are no floating-point numbers, or the first mismatches and the likely cause.
    """
    for key, tensor in weights.items():
        if tensor.dtype not in DTYPES or tensor.layout is not torch.strided or tensor.is_meta:
            raise CheckpointError(
                f"{source} are no plain floating-point numbers: {_shown(key)} is {_described(tensor)}. "
                "Expected float32, float16, bfloat16 or float64."
            )
    problem = mismatch(shapes_in(weights), config)
    if problem:
        raise CheckpointError(f"{source} do not fit the network: {problem}")


def check_finite(weights: Mapping[str, Tensor], source: str, advice: str) -> None:
    """Check that all weights are numbers.

    Raises:
        CheckpointError: the first that holds NaN or infinity, and the advice.
    """
    for key, tensor in weights.items():
        if not tensor.isfinite().all():
            raise CheckpointError(f"{source} hold NaN or infinity (in {key}). Expected finite numbers: {advice}.")


def shapes_of(config: NetworkConfig) -> Shapes:
    """Every parameter's name and shape, in the order of the state dict."""
    with torch.device("meta"):
        return shapes_in(config.build().state_dict())


def shapes_in(weights: Mapping[str, Tensor]) -> Shapes:
    """The name and shape of each of these weights."""
    return {key: tuple(tensor.shape) for key, tensor in weights.items()}


def mismatch(given: Shapes, config: NetworkConfig) -> str:
    """What differs between these parameters and the network's, and why that may be; '' if they are the same."""
    expected = shapes_of(config)
    missing = [key for key in expected if key not in given]
    unexpected = [_shown(key) for key in given if key not in expected]
    reshaped = [
        f"{key} {given[key]} instead of {expected[key]}"
        for key in expected
        if key in given and given[key] != expected[key]
    ]
    problems = [
        f"{what}: {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for what, names in [("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped)]
        if names
    ]
    return f"{'; '.join(problems)}. Likely cause: {config.likely_cause(given, expected)}." if problems else ""


def _shown(key: str) -> str:
    """A name that a file gives, short enough for a message."""
    return key if len(key) <= 80 else f"{key[:80]}..."


def _described(tensor: Tensor) -> str:
    return " ".join(str(word).removeprefix("torch.") for word in (tensor.layout, tensor.dtype))
