"""What a training will do that its user may not have meant, known before its first step.

As in `dmix_core.notices`, settings stand in `backticks`: a command line puts its options in their places.
"""

from collections.abc import Iterator

from .checkpoint import bundled, find, read_config
from .training_setup import TrainingSetup

LEARNING_RATE, WARMUP = 1e-3, 50
"""With which a mask channel whose weights are new becomes clean, as docs/measurements.md has it."""


def training_notices(setup: TrainingSetup) -> list[str]:
    """One text for each thing to know beforehand."""
    return [*_new_mask(setup)]


def _new_mask(setup: TrainingSetup) -> Iterator[str]:
    """An object model that begins with one without a mask, by other settings than its mask wants.

    Whoever states these settings knows what the mask needs, and has chosen the model for something else.
    """
    model, config = setup.model, setup.config
    if config.init is None or not model.mask_channels or read_config(find(config.init)).mask_channels:
        return
    if config.learning_rate >= LEARNING_RATE and config.warmup <= WARMUP:
        return
    others = _with_masks(model.image_channels)
    instead = f", or begin with `init` {others[0]}, which has one" if others else ""
    figures = ", 0.8 and 0.1" if others else " and 0.8"
    yield (
        f"{config.init!r} has no mask, so that the weights of the mask are drawn anew. Give `learning_rate` "
        f"{LEARNING_RATE:g} `warmup` {WARMUP}{instead}: a sampled mask had 8.1{figures} specks, measured after 350 to "
        "400 steps on six objects (docs/measurements.md)."
    )


def _with_masks(image_channels: int) -> list[str]:
    """The bundled object models with as many channels and masks."""
    found = {name: read_config(find(name)) for name in bundled()}
    return [name for name, each in found.items() if each.mask_channels and each.image_channels == image_channels]
