"""How to train, and what the model card states of it."""

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat

from dmix_core.errors import DmixError
from dmix_core.limits import LARGEST_BATCH
from dmix_data.augment import Augmentation
from dmix_data.datasets import Crops

from .config import ModelConfig
from .mask_target import MaskTarget
from .tensorboard import check_installed

MOST = 10**9
"""Steps of a training, and anything that is counted in them."""
MOST_DRAWN = 10_000
"""Samples that are in memory at once: of a preview, or of each class at the end."""

Count = Annotated[int, Field(ge=1, le=MOST)]


class TrainingError(DmixError):
    """Settings that cannot be trained with, or a training that has diverged."""


class TrainConfig(BaseModel):
    """How to train.

    Attributes:
        batch_size: images in a step, over all processes.
        accumulate: parts in which a batch is computed, to save memory.
        warmup: steps over which the learning rate rises; `decay` "cosine" lets it fall to zero at the last step.
        ema_decay: of the average of the weights, which is what gets saved and sampled.
        mask_loss_weight: of the mask channel's loss; that of the image is 1.
        mask_target: "soft" trains on masks with soft edges, see `mask_target`: sampled masks have fewer holes.
        init: the name or folder of a model whose weights to begin with, see `transfer`; None: random ones.
        label_dropout: of a class-conditional model, how often a class is hidden, so that it learns "any" as well.
        mixed_precision: "bf16" computes the network in bfloat16. "auto" measures both for some steps at the start and
            takes bfloat16 where it is clearly faster; a training that goes on keeps what was chosen.
        compile: run the network through torch.compile, which takes a minute or more to start.
        hold_out: the share of the groups (tiles, clips, pictures) whose crops are not learned from. Their loss is
            measured with every checkpoint, and the checkpoint that stays is that of the lowest one.
        patience: end after so many such measurements without a lower one (early stopping); 0: go on to the last step.
        stop_at_copies: draw samples with every checkpoint, and end where they repeat training crops more often than
            fresh pictures would, as `memorisation` has it; the checkpoint before that stays.
        save_every, preview_every, log_every: in steps.
        keep: how many training states stay on disk.
        memorisation_samples: of each class, to be held against the training crops at the end, where these are cut from
            100 pictures or fewer.
        verdict_samples: of each class, to be held against training crops at the end: is the model ready?
        tensorboard: write event files, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: Count
    batch_size: int = Field(32, ge=1, le=LARGEST_BATCH)
    accumulate: Count = 1
    learning_rate: PositiveFloat = 2e-4
    warmup: int = Field(200, ge=0, le=MOST)
    decay: Literal["none", "cosine"] = "cosine"
    weight_decay: NonNegativeFloat = 0.0
    ema_decay: float = Field(0.999, ge=0, lt=1)
    grad_clip: PositiveFloat = 1.0
    mask_loss_weight: PositiveFloat = 1.0
    mask_target: MaskTarget = "soft"
    label_dropout: float = Field(0.1, ge=0, lt=1)
    init: str | None = None
    compile: bool = False
    augment: Augmentation = Augmentation()
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    seed: int = Field(0, ge=0, lt=2**63)
    hold_out: float = Field(0.0, ge=0, lt=1)
    patience: int = Field(0, ge=0, le=MOST)
    stop_at_copies: bool = False
    save_every: Count = 1000
    preview_every: Count = 1000
    preview_samples: int = Field(8, ge=1, le=MOST_DRAWN)
    preview_steps: Count = 50
    log_every: Count = 10
    keep: Count = 2
    memorisation_samples: int = Field(32, ge=0, le=MOST_DRAWN)
    verdict_samples: int = Field(32, ge=0, le=MOST_DRAWN)
    tensorboard: bool = False


CADENCE = {"save_every", "preview_every", "preview_samples", "preview_steps", "log_every", "keep"}
CADENCE |= {"memorisation_samples", "verdict_samples", "tensorboard"}


class Origin(NamedTuple):
    """What the model card states of a model's making."""

    data: str = "not stated"
    command: str = "dmix_models.trainer.train(...)"
    licence: str = "not stated"
    notes: str = ""


UNSTATED = Origin()


def as_text(name: str) -> str:
    """A name that may come from the file system as text that UTF-8 can write; other bytes as \\udc80 and the like."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_settings(model: ModelConfig, config: TrainConfig, crops: Crops, processes: int) -> None:
    """Refuse what cannot be trained, before any file is written."""
    if config.tensorboard:
        check_installed()
    for name in (model.name, *model.classes):
        if name != as_text(name):
            raise TrainingError(
                f"The name {as_text(name)!r} cannot be written as UTF-8, as a checkpoint must be. Rename the folder."
            )
    given = (*crops.size, 3, crops.mask_channels)
    if given != (*model.size, model.image_channels, model.mask_channels):
        raise TrainingError(
            f"The crops are (h, w, image, mask channels) = {given}; the model {model.name!r} expects "
            f"{(*model.size, model.image_channels, model.mask_channels)}. Cut them for this model."
        )
    if config.augment.quarter_turns and model.size[0] != model.size[1]:
        raise TrainingError(
            f"quarter_turns need square crops; these are {model.size[1]}x{model.size[0]}. Turn them off."
        )
    if config.patience and not config.hold_out:
        raise TrainingError(
            "patience waits for the held-out loss to fall; expected a share of groups as hold_out, too."
        )
    if config.preview_steps > model.noise.steps:
        raise TrainingError(
            f"preview_steps is {config.preview_steps}; the model's noise has {model.noise.steps} steps. "
            "Expected at most as many."
        )
    if config.batch_size % (processes * config.accumulate):
        raise TrainingError(
            f"batch_size is {config.batch_size}; "
            f"expected a multiple of {processes} processes x {config.accumulate} parts."
        )
