"""Training: a generator of steps, like the sampler. On one CPU, one GPU or, started by torchrun, on many."""

import logging
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from dmix_core.errors import DmixError
from dmix_core.files import writable_folder
from dmix_data.augment import Augmentation
from dmix_data.batches import ANY, Batch, Batches, stream
from dmix_data.datasets import Crops, digests, facts

from . import checkpoint
from .config import ModelConfig
from .denoiser import Dtype, UNetDenoiser
from .ema import EMA
from .losses import hybrid_loss
from .memorisation import MemorisationError, memorisation
from .memorisation import write as write_memorisation
from .metrics import Measured, Metrics, Quarters, TrainStep
from .page import write_page
from .preview import sample, write_sheet
from .resume import (
    PICTURES,
    Settings,
    State,
    check_room,
    check_same,
    clear_scratch,
    flat,
    load_optimizer,
    newest_state,
    optimizer_tensors,
    saving,
    write_state,
)
from .tensorboard import Board, check_installed
from .transfer import transferred
from .unet import UNet, UNetConfig
from .weights import build

logger = logging.getLogger(__name__)

EXPLODED = 100.0  # mean squared error; a network that says nothing has about 1
FEW = 100  # pictures, of which a model may repeat what it was shown


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
        init: the name or folder of a model whose weights to begin with, see `transfer`; None: random ones.
        label_dropout: of a class-conditional model, how often a class is not told, so that it learns "any" as well.
        compile: run the network through torch.compile, which takes a minute or more to start.
        save_every, preview_every, log_every: in steps.
        keep: how many training states stay on disk.
        memorisation_samples: of each class, to be held against the training crops at the end, where these are cut from
            100 pictures or fewer.
        tensorboard: write event files, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt
    batch_size: PositiveInt = 32
    accumulate: PositiveInt = 1
    learning_rate: PositiveFloat = 2e-4
    warmup: NonNegativeInt = 200
    decay: Literal["none", "cosine"] = "cosine"
    weight_decay: NonNegativeFloat = 0.0
    ema_decay: float = Field(0.999, ge=0, lt=1)
    grad_clip: PositiveFloat = 1.0
    mask_loss_weight: PositiveFloat = 1.0
    label_dropout: float = Field(0.1, ge=0, lt=1)
    init: str | None = None
    compile: bool = False
    augment: Augmentation = Augmentation()
    mixed_precision: Literal["no", "bf16"] = "no"
    seed: int = Field(0, ge=0, lt=2**63)
    save_every: PositiveInt = 1000
    preview_every: PositiveInt = 1000
    preview_samples: PositiveInt = 8
    preview_steps: PositiveInt = 50
    log_every: PositiveInt = 10
    keep: PositiveInt = 2
    memorisation_samples: NonNegativeInt = 32
    tensorboard: bool = False


CADENCE = {"save_every", "preview_every", "preview_samples", "preview_steps", "log_every", "keep"}
CADENCE |= {"memorisation_samples", "tensorboard"}


class Origin(NamedTuple):
    """What the model card says of a model's making."""

    data: str = "not stated"
    command: str = "dmix_models.trainer.train(...)"
    licence: str = "not stated"
    notes: str = ""


UNSTATED = Origin()


def train(
    model: ModelConfig, config: TrainConfig, crops: Crops, out: str | Path, origin: Origin = UNSTATED
) -> Iterator[TrainStep]:
    """Train a model, going on where an earlier run into the same folder stopped.

    The folder becomes a checkpoint, written every `save_every` steps from the average of the weights; `out/training`
    holds the states to go on from, metrics.jsonl, previews and report.html. All randomness derives from (seed, step),
    so that on a CPU a run that was interrupted ends in the same bits.

    Raises:
        TrainingError: settings that do not fit each other; later, a loss that is not finite.
        ResumeError: the folder holds a training with other settings or other pictures.
    """
    return Training(model, config, crops, Path(out), origin).run()


class Training:
    """The state of a training run; `run` is the loop."""

    def __init__(self, model: ModelConfig, config: TrainConfig, crops: Crops, out: Path, origin: Origin):
        self.model, self.config, self.crops, self.out, self.origin = model, config, crops, out, origin
        self.accelerator = new_accelerator()
        self.device = self.accelerator.device
        check_settings(model, config, crops, self.accelerator.num_processes)
        self.folder = out / "training"
        if self.accelerator.is_main_process:
            clear_scratch(writable_folder(self.folder))
        self.network = first_network(model, config).to(self.device)
        self.ema = EMA(self.network.named_parameters(), config.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.schedule = model.noise.schedule()
        self.batches = Batches(
            crops,
            config.augment,
            self.schedule.steps,
            config.batch_size,
            config.seed,
            model.classes,
            config.label_dropout if ANY in model.classes else 0.0,
        )
        self.weights = torch.tensor([1.0] * model.image_channels + [config.mask_loss_weight] * model.mask_channels)
        self.done = 0
        self._resume()
        if self.accelerator.is_main_process:
            check_room(out, *self._sizes, config.keep)
        self.parallel = self.accelerator.prepare_model(self.network)
        if config.compile:
            self.parallel = torch.compile(self.parallel)

    def run(self) -> Iterator[TrainStep]:
        """Learn from one batch after the other."""
        config = self.config
        metrics = Metrics(self.folder / "metrics.jsonl", self.done, config.steps, config.batch_size, config.log_every)
        if self.accelerator.is_main_process:
            metrics.start()
        with self._board() as board:
            for step, batch in enumerate(self.batches.ahead(self.done, config.steps, self._rows), self.done):
                measured = self._learn(batch.to(self.device), step)
                self.done = step + 1
                report = metrics.report(self.done, measured)
                if self.accelerator.is_main_process:
                    with saving(self.out, self.done, sum(self._sizes)):
                        report = self._write(report)
                        self._show(board, metrics.write(report), report)
                        report = self._tell(report)
                yield report

    # ---- one step -------------------------------------------------------------------------------------------

    def _learn(self, batch: Batch, step: int) -> Measured:
        rate = learning_rate(self.config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        losses = self._backward(batch, step)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.grad_clip)
        loss, *measured = self.accelerator.reduce(losses, "mean").tolist()
        errors, quarters = measured[:-8], Quarters(tuple(measured[-8:-4]), tuple(measured[-4:]))
        self._check_finite(loss, errors, float(norm), step)
        self.optimizer.step()
        self.ema.update(self.network.named_parameters(), step)
        image, mask = errors[: self.model.image_channels], errors[self.model.image_channels :]
        return Measured(loss, sum(image) / len(image), mask[0] if mask else None, quarters, rate, float(norm))

    def _backward(self, batch: Batch, step: int) -> Tensor:
        """Gradients of the batch's mean loss; returns that loss, each channel's error, then sums and counts of the
        quarters' losses.
        """
        parts = [Batch(*part) for part in zip(*(tensor.chunk(self.config.accumulate) for tensor in batch))]
        losses = []
        with torch.random.fork_rng(enabled=self.model.unet.dropout > 0):
            if self.model.unet.dropout:
                number = step * self.accelerator.num_processes + self.accelerator.process_index
                torch.manual_seed(int(stream(self.config.seed, 3, number).integers(2**62)))
            for number, part in enumerate(parts, 1):
                with nullcontext() if number == len(parts) else self.accelerator.no_sync(self.parallel):
                    measured = self._loss(part)
                    self.accelerator.backward(measured[0] / len(parts))
                losses.append(measured.detach())
        return torch.stack(losses).mean(0)

    def _loss(self, batch: Batch) -> Tensor:
        clean, noise, t, labels = batch
        x_t = self.schedule.diffuse(clean, 0, t, noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.mixed_precision == "bf16"):
            # the network counts its times from 0
            output = self.parallel(x_t, t - 1, labels if self.model.classes else None).float()
        losses = hybrid_loss(
            self.schedule, self.model.prediction, self.model.variance, output, clean, noise, t, self.weights
        )
        quarter = (4 * (t - 1)).div(self.schedule.steps, rounding_mode="floor")
        within = F.one_hot(quarter, 4).to(losses.simple)
        sums = (within * losses.simple[:, None]).sum(0)
        return torch.cat([losses.total.mean()[None], losses.error.mean(0), sums.detach(), within.sum(0)])

    def _check_finite(self, loss: float, errors: list[float], norm: float, step: int) -> None:
        if math.isfinite(loss + norm) and max(errors) < EXPLODED:
            return
        saved = newest_state(self.folder)
        good = (
            f"{str(self.out)!r} holds the checkpoint of step {saved.step}." if saved else "No checkpoint was written."
        )
        raise TrainingError(
            f"The training diverged at step {step + 1}: loss {loss:.4g}, gradient norm {norm:.4g}. {good} "
            "Try a lower learning_rate, a longer warmup or mixed_precision 'no', in a new folder."
        )

    @property
    def _rows(self) -> range:
        """This process' part of each batch."""
        return range(self.config.batch_size)[self.accelerator.process_index :: self.accelerator.num_processes]

    # ---- files ----------------------------------------------------------------------------------------------

    def _write(self, report: TrainStep) -> TrainStep:
        last = report.step == self.config.steps
        if last or report.step % self.config.save_every == 0:
            self._save()
            report = report._replace(saved=self.out)
        if last or report.step % self.config.preview_every == 0:
            report = report._replace(preview=self._preview())
        return report

    def _save(self) -> None:
        tensors = {
            "network": self.network.state_dict(),
            "average": self.ema.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer, self.network),
        }
        card = checkpoint.ModelCard(steps=self.done, settings=self._card_settings, **self.origin._asdict())
        # first the checkpoint: if the process is killed between the two, the steps since the last state are done again
        place_checkpoint(self.out, self.model, self.ema.state_dict(), card)
        write_state(self.folder, State(self.done, tensors, self._settings), self.config.keep)

    @property
    def _sizes(self) -> tuple[int, int]:
        """Bytes of a checkpoint and of a state, which holds the weights, their average and AdamW's two moments."""
        weights = sum(parameter.nbytes for parameter in self.network.parameters())
        return weights, 4 * weights

    def _preview(self) -> Path:
        count, steps = self.config.preview_samples, self.config.preview_steps
        kinds = self._denoiser().kinds().values()
        images = torch.cat([sample(kind, count, steps, device=self.device) for kind in kinds])
        return write_sheet(self.folder / f"preview-{self.done:08d}.png", images, self.model.image_channels)

    def _denoiser(self) -> UNetDenoiser:
        """The model with the average of the weights."""
        network = build(self.model.unet, self.ema.state_dict(), "The averaged weights")
        dtype: Dtype = "bfloat16" if self.config.mixed_precision == "bf16" else "float32"
        return UNetDenoiser(self.model, network, dtype=dtype)

    def _board(self) -> AbstractContextManager[Board | None]:
        if self.config.tensorboard and self.accelerator.is_main_process and self.done < self.config.steps:
            return Board(self.folder / "tensorboard", self.done)
        return nullcontext()

    def _show(self, board: Board | None, line: dict[str, object] | None, report: TrainStep) -> None:
        if board and line:
            board.write(line)
        if board and report.preview:
            board.show(report.preview, report.step)

    def _tell(self, report: TrainStep) -> TrainStep:
        """Write the page of the run with each checkpoint, and with the last one what the model has learned by heart."""
        if not report.saved:
            return report
        verdicts = self._memorisation() if report.step == self.config.steps else ()
        return report._replace(page=write_page(self.out), verdicts=verdicts)

    def _memorisation(self) -> tuple[str, ...]:
        samples, steps = self.config.memorisation_samples, self.config.preview_steps
        if not samples or len(self.crops.pictures) > FEW:
            return ()
        try:
            found = memorisation(self._denoiser().kinds(), self.crops, samples, steps, device=self.device)
        except MemorisationError as error:
            logger.info("No memorisation report: %s", error)
            return ()
        write_memorisation(self.folder, found)
        return tuple(f"{each.name}: {each.verdict}" if each.name else each.verdict for each in found)

    def _resume(self) -> None:
        state = newest_state(self.folder)
        if state is None:
            return
        check_same(state.settings, self._settings, self.out)
        self.done = state.step
        self.network.load_state_dict(state.tensors["network"])
        self.ema.load_state_dict(state.tensors["average"])
        load_optimizer(self.optimizer, self.network, state.tensors["optimizer"])

    @cached_property
    def _settings(self) -> Settings:
        """What must stay the same for a run to go on."""
        free = CADENCE | ({"steps"} if self.config.decay == "none" else set())
        train = self.config.model_dump(mode="json", exclude=free)
        return {
            "model": self.model.model_dump(mode="json"),
            "training": train,
            "data": facts(self.crops),
            PICTURES: digests(self.crops),
        }

    @property
    def _card_settings(self) -> dict[str, object]:
        """What the model card lists."""
        crops = {"pictures": len(self.crops.pictures), "items": len(self.crops), "left out": self.crops.skipped}
        return flat(crops | self.config.model_dump(mode="json", exclude=CADENCE))


def new_accelerator() -> Accelerator:
    """The device and the other processes; of several on a machine without GPUs, Accelerate has to be told."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return Accelerator(cpu=several and not torch.cuda.is_available())


def first_network(model: ModelConfig, config: TrainConfig) -> UNet:
    """The network that training begins with."""
    if config.init is None:
        return new_network(model.unet, config.seed)
    return transferred(config.init, model).train().requires_grad_()


def new_network(config: UNetConfig, seed: int) -> UNet:
    """A network with random weights that depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet(config)


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of step number `step`, counted from 0."""
    rate = config.learning_rate * min(1, (step + 1) / max(config.warmup, 1))
    return rate if config.decay == "none" else rate * (1 + math.cos(math.pi * step / config.steps)) / 2


def place_checkpoint(out: Path, model: ModelConfig, weights: dict[str, Tensor], card: checkpoint.ModelCard) -> None:
    """Write a checkpoint into a folder that holds other things as well.

    Whenever this is cut off, the folder holds the checkpoint before or this one, perhaps without a card; only where the
    one before is of another model, it may hold none.
    """
    scratch = out / "training" / ".checkpoint"
    shutil.rmtree(scratch, ignore_errors=True)
    checkpoint.save(scratch, model, weights, card)
    (out / checkpoint.CARD).unlink(missing_ok=True)  # it states the checksum of the weights before
    config = out / checkpoint.CONFIG
    if config.exists() and config.read_bytes() != (scratch / checkpoint.CONFIG).read_bytes():
        config.unlink()
    for name in (checkpoint.WEIGHTS, checkpoint.CONFIG, checkpoint.CARD):
        os.replace(scratch / name, out / name)
    scratch.rmdir()


def check_settings(model: ModelConfig, config: TrainConfig, crops: Crops, processes: int) -> None:
    """Refuse what cannot be trained, before any file is written."""
    if config.tensorboard:
        check_installed()
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
