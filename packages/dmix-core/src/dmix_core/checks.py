"""What the composer asks of its parts, with messages that name the region and the step."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .errors import CompositionError, DenoiserError, check_fraction
from .exchange import Exchange
from .geometry import Box, Size, moved
from .protocols import Layer, Merged, Prediction, Region, Spec, StatefulDenoiser
from .returned import prediction_of
from .windows import Window
from .wrapper import Wrapper

MOST = 256  # regions


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
    channels = {region.name: region.denoiser.spec.picture.image_channels for region in regions}
    if len(set(channels.values())) > 1:
        raise CompositionError(
            f"Regions of one canvas need the same number of image channels; got {channels}. "
            "Grey models are composed with grey ones, RGB with RGB."
        )
    for region in regions:
        if region.listen_from is not None:
            check_fraction(f"listen_from of region {region.name!r}", region.listen_from)
        _check_state(region)
    return regions


def _check_state(region: Region) -> None:
    """A wrapper calls the denoiser inside without its state."""
    inside = region.denoiser
    while isinstance(inside, Wrapper) and not isinstance(inside, StatefulDenoiser):
        inside = inside.denoiser
        if isinstance(inside, StatefulDenoiser):
            raise CompositionError(
                f"A wrapper of region {region.name!r} calls {type(inside).__name__}, which carries a state from step "
                "to step; expected it to be the outermost one. Change the order of the wrappers."
            )


def check_objects(regions: Sequence[Region]) -> None:
    """Refuse regions of models that paint no object; only at the bottom may such a one lie."""
    for region in regions:
        if region.denoiser.spec.empty:
            raise CompositionError(
                f"Region {region.name!r} cannot be an object: its model has learned this class from windows that show "
                "none, and would paint an empty mask. Expected another class of the model, or another model."
            )


def check_exchange(exchange: Exchange, regions: Sequence[Region]) -> Exchange:
    """Noisy states can be laid on a canvas of pixels where they are pixels themselves."""
    encoding = [region.name for region in regions if region.denoiser.spec.codec]
    if exchange.others == "noisy" and encoding:
        raise CompositionError(
            f"others is 'noisy', which lays noisy states on the canvas, but those of region {encoding[0]!r} are no "
            "pixels; expected 'clean'."
        )
    return exchange


def check_cover(regions: Sequence[Region], size: Size, device: torch.device) -> list[Tensor | None]:
    """Where in its place each region can be, (1, 1, *place.size) bool or None for everywhere; together everywhere."""
    places = [region.place.check_inside(size, f"region {region.name!r}") for region in regions]
    supports = [_support(region, device) for region in regions]
    if supports[0] is None and places[0] == Box(0, 0, size[1], size[0]):
        return supports
    covered = torch.zeros(1, 1, *size, dtype=torch.bool, device=device)
    for place, support in zip(places, supports, strict=True):
        place.crop(covered).logical_or_(torch.ones((), dtype=torch.bool, device=device) if support is None else support)
    if missing := covered.numel() - int(covered.sum()):
        height, width = size
        raise CompositionError(
            f"{missing} of the canvas' {width}x{height} pixels lie in no region. "
            "Put a background below that covers the canvas, or make the canvas smaller."
        )
    return supports


def check_still(regions: Sequence[Region], device: torch.device) -> None:
    """What still images predict must be sound, and nothing can show through one at the bottom."""
    for region in regions:
        if region.denoiser.spec.still:
            prediction = still_prediction(region, device)
            check_prediction(prediction, ones(region.denoiser.spec, device), [region.name], 1)
            check_finite(prediction, [region.name], 1)
    spec = regions[0].denoiser.spec
    if spec.still and spec.mask_channels:
        mask = still_prediction(regions[0], device).clean[:, spec.image_channels :]
        if transparent := int((mask < 1).sum()):
            raise CompositionError(
                f"The picture of region {regions[0].name!r} is transparent in {transparent} pixels, and nothing lies "
                "below that could show there. Put a region with a lower z below it."
            )


def still_prediction(region: Region, device: torch.device) -> Prediction:
    """What a still image predicts at every level, (1, C+M, h, w)."""
    state = ones(region.denoiser.spec, device)
    prediction = prediction_of(region.denoiser, region.denoiser(state, 1))
    check_finite(check_prediction(prediction, state, [region.name], 1), [region.name], 1)
    return prediction


def _support(region: Region, device: torch.device) -> Tensor | None:
    """Where an opaque prediction is laid."""
    matte = region.lay(ones(region.denoiser.spec.picture, device)).matte
    return None if bool(matte.amin() > 0) else matte > 0


def ones(spec: Spec, device: torch.device) -> Tensor:
    """A state of ones, which takes no memory."""
    return torch.ones((), device=device).expand(1, *spec.shape)


def check_prediction(prediction: Prediction, state: Tensor, regions: Sequence[str], t: int) -> Prediction:
    """The clean image must be shaped like the state of these regions, and the spread broadcast to it."""
    clean, spread = prediction
    if clean.shape != state.shape:
        raise DenoiserError(
            f"The denoiser of {_named(regions)} returned the shape {tuple(clean.shape)} at level {t}; "
            f"expected that of its state, {tuple(state.shape)}."
        )
    if spread is not None and not broadcasts(spread, clean):
        raise DenoiserError(
            f"The denoiser of {_named(regions)} returned a spread of shape {tuple(spread.shape)} at level {t}; "
            f"expected one that broadcasts to {tuple(clean.shape)}."
        )
    return prediction


def check_finite(prediction: Prediction, regions: Sequence[str], t: int) -> None:
    """A clean image of these regions, and its spread, must be finite."""
    if not all(is_finite(part) for part in prediction if part is not None):
        raise DenoiserError(
            f"The denoiser of {_named(regions)} returned NaN or infinity at level {t}. "
            "Try float32 instead of a shorter dtype, and look at samples of the model alone."
        )


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite; a sum that is finite shows it without a mask as large as the tensor."""
    return math.isfinite(float(tensor.sum())) or bool(tensor.isfinite().all())


def _named(regions: Sequence[str]) -> str:
    return f"{'regions' if regions[1:] else 'region'} {' and '.join(map(repr, regions))}"


def broadcasts(tensor: Tensor, to: Tensor) -> bool:
    try:
        tensor.expand_as(to)
    except RuntimeError:
        return False
    return True


def check_stepped(x_s: Tensor, x_t: Tensor, aim: Prediction, region: Region, t: int, s: int) -> Tensor:
    """The next state must be shaped like the one before and be finite; if it is not, the prediction may be to blame."""
    if x_s.shape != x_t.shape:
        raise CompositionError(
            f"The stepper returned the shape {tuple(x_s.shape)} for region {region.name!r} from level {t} to {s}; "
            f"expected that of its state, {tuple(x_t.shape)}."
        )
    if not is_finite(x_s):
        check_finite(aim, [region.name], t)
        raise CompositionError(
            f"The stepper returned NaN or infinity for region {region.name!r} from level {t} to {s}; expected a state."
        )
    return x_s


def check_merged(
    merged: Merged,
    layers: Sequence[Layer],
    window: Window,
    regions: Sequence[Region],
    supports: Sequence[Tensor | None],
    s: int,
) -> Merged:
    """The canvas must be shaped like the layers, the weights lie in 0..1, sum to one and stay in their regions.

    Regions and supports are all of the composition's, from bottom to top.
    """
    _check_shapes(merged, layers, s)
    members = list(zip(merged.weights, window.members, strict=True))
    astray = [_outside(weights, regions[i], supports[i], window) for weights, i in members]
    sums = merged.weights.sum(0)
    low, high, lowest, *outside = torch.stack([sums.amin(), sums.amax(), merged.weights.amin(), *astray]).tolist()
    if not is_finite(merged.canvas):
        raise CompositionError(f"The merge rule returned NaN or infinity on the way to level {s}; expected an image.")
    if not (low >= 1 - 1e-4 and high <= 1 + 1e-4) or lowest < -1e-6:
        raise CompositionError(
            f"The merge rule's weights do not sum to one on the way to level {s}: sums from {low:.4g} to "
            f"{high:.4g}, lowest weight {lowest:.4g}; "
            "expected weights in 0..1 that sum to 1 at every pixel."
        )
    if max(outside) > 1e-4:
        name = regions[window.members[outside.index(max(outside))]].name
        raise CompositionError(
            f"Region {name!r} was given pixels outside of its box on the way to level {s}. "
            "Put a background below that covers the canvas, or use a merge rule that stays inside."
        )
    return merged


def _check_shapes(merged: Merged, layers: Sequence[Layer], s: int) -> None:
    image = layers[0].image
    expected = len(layers), image.shape[0], 1, *image.shape[2:]
    if merged.canvas.shape != image.shape or merged.weights.shape != expected:
        raise CompositionError(
            f"The merge rule returned a canvas {tuple(merged.canvas.shape)} and weights {tuple(merged.weights.shape)} "
            f"on the way to level {s}; expected {tuple(image.shape)} and {expected}."
        )
    if merged.change is not None and merged.change.shape != image.shape:
        raise CompositionError(
            f"The merge rule returned a change {tuple(merged.change.shape)} on the way to level {s}; "
            f"expected {tuple(image.shape)}."
        )


def _outside(weights: Tensor, region: Region, support: Tensor | None, window: Window) -> Tensor:
    """The largest weight (B, 1, h, w) that a region has in a window where it cannot be."""
    if support is None:
        if region.place.shared(window.box) == window.box:
            return weights.new_zeros(())
        support = weights.new_ones((), dtype=torch.bool).expand(1, 1, *region.place.size)
    return weights.masked_fill(moved(support, region.place, window.box), 0).amax()
