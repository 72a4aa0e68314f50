"""What a composition looks like while it denoises, before the regions merge too."""

from collections.abc import Sequence

from torch import Tensor

from .mattes import blend, stack
from .protocols import Merged, Prediction, Region, Size


def clean_frame(
    regions: Sequence[Region],
    size: Size,
    states: Sequence[Tensor],
    predictions: Sequence[Prediction] | None,
    merged: Merged | None,
) -> Tensor:
    """The clean image as it is predicted at a step, (B, C, H, W).

    The merged canvas where there is one; otherwise the clean predictions laid over each other in their boxes, and on
    a climb, which has none, the states.
    """
    if merged:
        return merged.canvas
    shown = [prediction.clean for prediction in predictions] if predictions else states
    layers = [region.lay(clean, size) for region, clean in zip(regions, shown)]
    return blend(layers, stack([layer.matte for layer in layers])).canvas


def noisy_frame(
    regions: Sequence[Region],
    size: Size,
    states: Sequence[Tensor],
    predictions: Sequence[Prediction] | None,
    merged: Merged | None,
) -> Tensor:
    """The regions' noisy states laid over each other, (B, C, H, W): by the merged weights, or else by their masks."""
    layers = [region.lay(state, size) for region, state in zip(regions, states)]
    if merged:
        return blend(layers, merged.weights).canvas
    owned = [prediction.clean for prediction in predictions] if predictions else states
    mattes = [region.lay(clean, size).matte for region, clean in zip(regions, owned)]
    return blend(layers, stack(mattes)).canvas
