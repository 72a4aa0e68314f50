"""Begin with another model's weights: a network made wider, or given classes.

The weights of a new mask are drawn as large as those of the image, on the way in and on the way out. Beginning at zero,
they would have to grow as a product, each by no more than the learning rate in a step, and for a thousand steps the
network would hardly see the noise in the mask that it is to take away: samples had masks of salt and pepper. What is
predicted of the image therefore changes a little at first, by what the mask holds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dmix_core.noise import PredictionType
from dmix_data.datasets import Crops, has_pairs, is_grey

from .checkpoint import find, load, read_config
from .config import ModelConfig, Role, Variance
from .networks import NetworkConfig
from .unet import UNetConfig
from .unet_layers import channels_last
from .weights import CheckpointError

# settings of a network that leave its weights' meaning as it is
FREE = {"in_channels", "out_channels", "num_classes", "dropout"}

FIRST, LAST, TIME, LABELS = "input_blocks.0.0.weight", "out.2", "time_embed.2.bias", "label_emb.weight"


def like(
    init: str,
    role: Role,
    crops: Crops,
    name: str,
    variance: Variance | None = None,
    prediction: PredictionType | None = None,
    classes: Sequence[str] = (),
) -> ModelConfig:
    """A model for these crops with the network and the noise of the model `init`, whose weights it can begin with.

    Args:
        variance, prediction: None: those of `init`.
    """
    other = read_config(find(init))
    variance = variance or other.variance
    channels = other.image_channels + crops.mask_channels
    network = {
        "in_channels": channels,
        "out_channels": 2 * channels if variance == "learned-range" else channels,
        "num_classes": len(classes) or None,
    }
    return ModelConfig(
        name=name,
        role=role,
        size=crops.size,
        image_channels=other.image_channels,
        mask_channels=crops.mask_channels,
        grey=is_grey(crops),
        classes=tuple(classes),
        pairs=has_pairs(crops),
        noise=other.noise,
        prediction=prediction or other.prediction,
        variance=variance,
        network=other.network.model_copy(update=network),
    )


def transferred(init: str, model: ModelConfig) -> nn.Module:
    """The network of `model` with the weights of the model `init`.

    Of what both have the weights are those of `init`: of the image, and of the mask if `init` has one. Where only the
    model has a mask, its weights are drawn, always the same ones; a variance that is new begins at zero, halfway
    between the two that enclose it. The rows of classes go by their names; a new class begins as the mean of the known
    ones, which is also what becomes of a class-conditional network that is to forget its classes.

    Raises:
        CheckpointError: no such model, or a network that differs in more than channels and classes.
    """
    other = load(init)
    _check_alike(init, other.config, model)
    weights = dict(other.network.state_dict())
    weights[FIRST] = _placed(weights[FIRST], 1, _inputs(other.config), _inputs(model))
    for key in (f"{LAST}.weight", f"{LAST}.bias"):
        weights[key] = _placed(weights[key], 0, _outputs(other.config), _outputs(model))
    weights |= _labels(weights.pop(LABELS, None), weights[TIME], other.config.classes, model.classes)
    network = model.network.build()
    network.load_state_dict(weights)
    return channels_last(network)


def _check_alike(init: str, other: ModelConfig, model: ModelConfig) -> None:
    differing = _differing(other.network, model.network)
    differing += [key for key in ("image_channels", "noise") if getattr(other, key) != getattr(model, key)]
    if differing:
        raise CheckpointError(
            f"Cannot begin with the weights of {init!r}: its network differs in {', '.join(differing)}. "
            "Expected the same network but for mask, variance and classes; leave the preset out to get it."
        )


def _differing(other: NetworkConfig, network: NetworkConfig) -> list[str]:
    if not (isinstance(other, UNetConfig) and isinstance(network, UNetConfig)):
        return ["its kind (weights are carried over between UNets alone)"]
    return [key for key, value in other if key not in FREE and value != getattr(network, key)]


def _inputs(config: ModelConfig) -> list[str]:
    """What each channel of the state is."""
    return [f"image {i}" for i in range(config.image_channels)] + ["mask"] * config.mask_channels


def _outputs(config: ModelConfig) -> list[str]:
    """What each channel that the network predicts is."""
    predicted = _inputs(config)
    return predicted + [f"variance of {channel}" for channel in predicted] * (config.variance == "learned-range")


def _placed(weight: Tensor, dim: int, before: list[str], after: list[str]) -> Tensor:
    """The slices of a weight put where their channels are now; a new mask's is drawn, other new ones are zero."""
    slices = dict(zip(before, weight.unbind(dim), strict=True))
    image = torch.stack([slices[channel] for channel in before if channel.startswith("image")])
    new = {"mask": _drawn_like(image)}
    return torch.stack([slices.get(channel, new.get(channel, torch.zeros_like(image[0]))) for channel in after], dim)


def _drawn_like(slices: Tensor) -> Tensor:
    """A random slice as large, in the root mean square, as these are."""
    drawn = torch.randn(slices[0].shape, generator=torch.Generator().manual_seed(0))
    return slices.square().mean().sqrt() * drawn


def _labels(rows: Tensor | None, time: Tensor, before: Sequence[str], after: Sequence[str]) -> dict[str, Tensor]:
    """The embedding of the classes, which is added to that of the time."""
    if rows is None:
        return {LABELS: time.new_zeros(len(after), len(time))} if after else {}
    mean = rows.mean(0)
    if not after:
        return {TIME: time + mean}
    known = dict(zip(before, rows, strict=True))
    return {LABELS: torch.stack([known.get(name, mean) for name in after])}
