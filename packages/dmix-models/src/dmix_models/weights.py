"""Do these weights fit this network? If not: where first, and what is the likely cause?"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dmix_core.errors import DmixError

from .unet import UNet, UNetConfig, channels_last

Shapes = dict[str, tuple[int, ...]]


class CheckpointError(DmixError):
    """A checkpoint that cannot be read or written, or whose weights do not fit its network."""


def build(config: UNetConfig, weights: Mapping[str, Tensor], source: str) -> UNet:
    """The network of a config with these weights; `source` names them in errors."""
    check_weights(weights, config, source)
    with torch.device("meta"):
        network = UNet(config)
    network.load_state_dict(weights, assign=True)
    return channels_last(network)


def check_weights(weights: Mapping[str, Tensor], config: UNetConfig, source: str) -> None:
    """Raise a CheckpointError that names the first mismatches and the likely cause, unless they fit."""
    problem = mismatch(shapes_in(weights), shapes_of(config))
    if problem:
        raise CheckpointError(f"{source} do not fit the network: {problem}")


def shapes_of(config: UNetConfig) -> Shapes:
    """Every parameter's name and shape, in the order of the state dict."""
    with torch.device("meta"):
        return shapes_in(UNet(config).state_dict())


def shapes_in(weights: Mapping[str, Tensor]) -> Shapes:
    """The name and shape of each of these weights."""
    return {key: tuple(tensor.shape) for key, tensor in weights.items()}


def mismatch(given: Shapes, expected: Shapes) -> str:
    """What differs between two sets of parameters and why that may be; '' if they are the same."""
    missing = [key for key in expected if key not in given]
    unexpected = [key for key in given if key not in expected]
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
    return f"{'; '.join(problems)}. Likely cause: {_cause(given, expected)}." if problems else ""


def _cause(given: Shapes, expected: Shapes) -> str:
    """The setting that most likely differs, told by the first key that gives it away."""

    def has(pattern: str, shapes: Shapes) -> bool:
        return any(re.search(pattern, key) for key in shapes)

    def differs(key: str) -> bool:
        return given.get(key) != expected.get(key)

    if has(r"^module\.", given):
        return "a parallel wrapper put 'module.' before every name; strip it"
    if differs("time_embed.0.weight"):
        return f"the weights were trained with model_channels = {given.get('time_embed.0.weight', (0, 0))[1]}"
    if has(_RESAMPLING, given) != has(_RESAMPLING, expected):
        return f"the weights were trained with resblock_updown = {not has(_RESAMPLING, given)}"
    if differs("label_emb.weight"):
        return f"the weights were trained with num_classes = {given.get('label_emb.weight', (None,))[0]}"
    if differs("input_blocks.0.0.weight"):
        return "another number of input channels (in_channels)"
    if differs("out.2.weight") and not differs("out.0.weight"):
        return "another variance: learned-range (learn_sigma) doubles out_channels"
    if differs(_TIME_PROJECTION) and not differs("input_blocks.1.0.in_layers.2.weight"):
        return "the weights were trained with another scale_shift_norm"
    return "another channel_mult, num_res_blocks or attention_downsamples"


_RESAMPLING = r"\.(op|conv)\.weight$"
_TIME_PROJECTION = "input_blocks.1.0.emb_layers.1.weight"
