"""What a composition looks like while it denoises, before the regions merge too."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .geometry import Box, Size, moved
from .mattes import blend, stack
from .protocols import Layer, Region

if TYPE_CHECKING:
    from .composer import Step


def clean_frame(regions: Sequence[Region], size: Size, step: "Step") -> Tensor:
    """The clean image as it is predicted at a step, (B, C, H, W).

    The merged canvas where there is one; otherwise the clean predictions laid over each other in their boxes, and on
    a climb, which has none, the states.
    """
    if step.merged:
        return step.merged.canvas
    layers = _laid(regions, size, _owners(step))
    return blend(layers, stack([layer.matte for layer in layers])).canvas


def noisy_frame(regions: Sequence[Region], size: Size, step: "Step") -> Tensor:
    """The regions' noisy states laid over each other, (B, C, H, W): by the merged weights, or else by their masks."""
    layers = _laid(regions, size, step.states)
    if step.merged:
        return blend(layers, step.merged.weights).canvas
    mattes = [layer.matte for layer in _laid(regions, size, _owners(step))]
    return blend(layers, stack(mattes)).canvas


def _owners(step: "Step") -> list[Tensor]:
    """Whose masks decide what is seen: the clean predictions', on a climb those of the states."""
    return [prediction.clean for prediction in step.predictions] if step.predictions else step.states


def _laid(regions: Sequence[Region], size: Size, states: Sequence[Tensor]) -> list[Layer]:
    """The states as layers of the whole canvas, (B, C, H, W)."""
    canvas = Box(0, 0, size[1], size[0])
    laid = [region.lay(region.denoiser.spec.decoded(x)) for region, x in zip(regions, states, strict=True)]
    return [
        Layer(*(moved(part, region.place, canvas) for part in layer))
        for region, layer in zip(regions, laid, strict=True)
    ]
