"""Why a state dict is not that of a UNet: which setting most likely differs."""

import re

from .networks import Shapes

_RESAMPLING = r"\.(op|conv)\.weight$"
_TIME_PROJECTION = "input_blocks.1.0.emb_layers.1.weight"


def likely_cause(given: Shapes, expected: Shapes) -> str:
    """The setting that most likely differs, by the first key that gives it away."""

    def differs(key: str) -> bool:
        return given.get(key) != expected.get(key)

    if _has(r"^module\.", given):
        return "a parallel wrapper put 'module.' before every name; strip it"
    if differs("time_embed.0.weight"):
        return f"the weights were trained with model_channels = {_side(given, 'time_embed.0.weight', 1)}"
    if _resamples_without_weights(given):
        return "the weights were trained with conv_resample = False, which this UNet does not have"
    if _has(_RESAMPLING, given) != _has(_RESAMPLING, expected):
        return f"the weights were trained with resblock_updown = {not _has(_RESAMPLING, given)}"
    if differs("label_emb.weight"):
        return f"the weights were trained with num_classes = {_side(given, 'label_emb.weight', 0)}"
    if differs("input_blocks.0.0.weight"):
        return "another number of input channels (in_channels)"
    if differs("out.2.weight") and not differs("out.0.weight"):
        return "another variance: learned-range (learn_sigma) doubles out_channels"
    if differs(_TIME_PROJECTION) and not differs("input_blocks.1.0.in_layers.2.weight"):
        return "the weights were trained with another scale_shift_norm"
    return "another channel_mult, num_res_blocks or attention_downsamples"


def _has(pattern: str, shapes: Shapes) -> bool:
    return any(re.search(pattern, key) for key in shapes)


def _side(shapes: Shapes, key: str, dim: int) -> int | None:
    shape = shapes.get(key, ())
    return shape[dim] if dim < len(shape) else None


def _resamples_without_weights(shapes: Shapes) -> bool:
    """Whether numbers of input blocks are left out: those that only resample, by pooling, have no parameters."""
    found = {int(match[1]) for key in shapes if (match := re.match(r"input_blocks\.(\d{1,4})\.", key))}
    return bool(found) and len(found) <= max(found)
