"""What the composer asks of its parts, with messages that name the region and the step."""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from .errors import CompositionError, DenoiserError
from .protocols import Layer, Merged, Prediction, Region, Size
from .region import canvas_spec, encoder

MOST = 256  # regions
Others = Literal["clean", "noisy"]


def check_regions(regions: Sequence[Region]) -> Sequence[Region]:
    """At least one region, unique names, one number of image channels, listen_from within 0..1."""
    if not regions:
        raise CompositionError("A composition needs at least one region; got none.")
    if len(regions) > MOST:
        raise CompositionError(f"{len(regions)} regions are too many: a mask's pixel is a byte, which numbers {MOST}.")
    names = [region.name for region in regions]
    if len(set(names)) < len(names):
        raise CompositionError(
            f"Region names must differ, since noise derives from them; got {names}. Give each its own name=."
        )
    channels = {region.name: canvas_spec(region).image_channels for region in regions}
    if len(set(channels.values())) > 1:
        raise CompositionError(
            f"Regions of one canvas need the same number of image channels; got {channels}. "
            "Grey models are composed with grey ones, RGB with RGB."
        )
    for region in regions:
        if region.listen_from is not None:
            check_fraction(f"listen_from of region {region.name!r}", region.listen_from)
    return regions


def check_fraction(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise CompositionError(
            f"{name} is {value}; expected a fraction of the denoising, 0 (from the first step) to 1 (never)."
        )
    return value


def check_others(others: Others, regions: Sequence[Region]) -> Others:
    """Noisy states can be laid on a canvas of pixels where they are pixels themselves."""
    encoding = [region.name for region in regions if encoder(region)]
    if others == "noisy" and encoding:
        raise CompositionError(
            f"others is 'noisy', which lays noisy states on the canvas, but those of region {encoding[0]!r} are no "
            "pixels; expected 'clean'."
        )
    return others


def check_cover(regions: Sequence[Region], size: Size, device: torch.device) -> Tensor:
    """Where each region can be, (N, 1, 1, H, W) of 0 and 1; every pixel of the canvas must be in one of them."""
    _check_bottom(regions[0], device)
    supports = torch.stack([(_support(region, size, device) > 0).float() for region in regions])
    missing = int((supports.amax(0) == 0).sum())
    if missing:
        height, width = size
        raise CompositionError(
            f"{missing} of the canvas' {width}x{height} pixels lie in no region. "
            "Put a background below that covers the canvas, or make the canvas smaller."
        )
    return supports


def _check_bottom(region: Region, device: torch.device) -> None:
    """Nothing can show through the bottom region; which pixels a still image owns is known beforehand."""
    spec = region.denoiser.spec
    if getattr(region.denoiser, "still", False):
        mask = region.denoiser(torch.zeros(1, *spec.shape, device=device), 1).clean[:, spec.image_channels :]
        if transparent := int((mask < 1).sum()):
            raise CompositionError(
                f"The picture of region {region.name!r} is transparent in {transparent} pixels, and nothing lies below "
                "that could show there. Put a region with a lower z below it."
            )


def _support(region: Region, size: Size, device: torch.device) -> Tensor:
    if support := getattr(region, "support", None):
        return cast(Tensor, support(size).to(device))
    return region.lay(torch.ones(1, *region.denoiser.spec.shape, device=device), size).matte


def check_prediction(prediction: Prediction, state: Tensor, regions: Sequence[str], t: int) -> Prediction:
    """The clean image must be shaped like the state of these regions, the spread broadcast to it, both be finite."""
    clean, spread = prediction
    returned = f"The denoiser of {'regions' if regions[1:] else 'region'} {' and '.join(map(repr, regions))} returned"
    if clean.shape != state.shape:
        raise DenoiserError(
            f"{returned} the shape {tuple(clean.shape)} at level {t}; expected that of its state, {tuple(state.shape)}."
        )
    if spread is not None and not broadcasts(spread, clean):
        raise DenoiserError(
            f"{returned} a spread of shape {tuple(spread.shape)} at level {t}; "
            f"expected one that broadcasts to {tuple(clean.shape)}."
        )
    if not all(bool(torch.isfinite(part).all()) for part in prediction if part is not None):
        raise DenoiserError(
            f"{returned} NaN or infinity at level {t}. "
            "Try float32 instead of a shorter dtype, and look at samples of the model alone."
        )
    return prediction


def broadcasts(tensor: Tensor, to: Tensor) -> bool:
    try:
        tensor.expand_as(to)
    except RuntimeError:
        return False
    return True


def check_stepped(x_s: Tensor, x_t: Tensor, region: Region, t: int, s: int) -> Tensor:
    """The next state must be shaped like the one before and be finite."""
    if x_s.shape != x_t.shape:
        raise CompositionError(
            f"The stepper returned the shape {tuple(x_s.shape)} for region {region.name!r} from level {t} to {s}; "
            f"expected that of its state, {tuple(x_t.shape)}."
        )
    if not bool(torch.isfinite(x_s).all()):
        raise CompositionError(
            f"The stepper returned NaN or infinity for region {region.name!r} from level {t} to {s}; expected a state."
        )
    return x_s


def check_merged(
    merged: Merged, layers: Sequence[Layer], supports: Tensor, regions: Sequence[Region], s: int
) -> Merged:
    """The canvas must be shaped like the layers, the weights lie in 0..1, sum to one and stay in their regions."""
    image = layers[0].image
    expected = len(layers), image.shape[0], 1, *image.shape[2:]
    if merged.canvas.shape != image.shape or merged.weights.shape != expected:
        raise CompositionError(
            f"The merge rule returned a canvas {tuple(merged.canvas.shape)} and weights {tuple(merged.weights.shape)} "
            f"on the way to level {s}; expected {tuple(image.shape)} and {expected}."
        )
    if not bool(torch.isfinite(merged.canvas).all()):
        raise CompositionError(f"The merge rule returned NaN or infinity on the way to level {s}; expected an image.")
    sums = merged.weights.sum(0)
    if not bool((sums - 1).abs().max() <= 1e-4) or bool(merged.weights.min() < -1e-6):
        raise CompositionError(
            f"The merge rule's weights do not sum to one on the way to level {s}: sums from {float(sums.min()):.4g} to "
            f"{float(sums.max()):.4g}, lowest weight {float(merged.weights.min()):.4g}; "
            "expected weights in 0..1 that sum to 1 at every pixel."
        )
    outside = (merged.weights * (1 - supports)).amax(dim=(1, 2, 3, 4))
    if bool(outside.max() > 1e-4):
        name = regions[int(outside.argmax())].name
        raise CompositionError(
            f"Region {name!r} was given pixels outside of its box on the way to level {s}. "
            "Put a background below that covers the canvas, or use a merge rule that stays inside."
        )
    return merged
