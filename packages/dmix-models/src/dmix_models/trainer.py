"""Training: a generator of steps, like the sampler. On one CPU, one GPU or, started by torchrun, on many."""

import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from dmix_core.files import writable_folder
from dmix_data.augment import Augmentation
from dmix_data.batches import ANY, Batch, Batches, stream
from dmix_data.datasets import Crops, digests, facts

from . import checkpoint, closing
from .config import ModelConfig
from .denoiser import Dtype, NetworkDenoiser
from .early_stopping import DRAWS, SAMPLES, STEPS, EarlyStopping, Measurement, divided, sampled_kinds
from .ema import EMA
from .losses import hybrid_loss
from .mask_target import mask_target
from .memorisation import MemorisationError, check_kinds, memorisation
from .metrics import METRICS, Measured, Metrics, Pending, Quarters, TrainStep
from .networks import NetworkConfig
from .ownership import Ownership
from .page import PAGE, write_page
from .precision import choose, images_per_second
from .preview import sample, write_sheet
from .resume import (
    PICTURES,
    ResumeError,
    Settings,
    State,
    check_files,
    check_same,
    check_space,
    clear_scratch,
    flat,
    load_optimizer,
    newest_state,
    optimizer_tensors,
    remove_states,
    saving,
    sizes_of,
    steps_in,
    write_state,
)
from .tensorboard import Board
from .train_config import CADENCE, UNSTATED, Origin, TrainConfig, TrainingError, as_text, check_settings
from .transfer import transferred
from .weights import build

logger = logging.getLogger(__name__)

__all__ = ["UNSTATED", "Origin", "TrainConfig", "Training", "TrainingError", "train"]

EXPLODED = 100.0  # mean squared error; a network that predicts 0 has about 1


def train(
    model: ModelConfig,
    config: TrainConfig,
    crops: Crops,
    out: str | Path,
    origin: Origin = UNSTATED,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[TrainStep]:
    """Train a model, going on where an earlier run into the same folder stopped.

    The folder becomes a checkpoint, written every `save_every` steps from the average of the weights; `out/training`
    holds the states to go on from, metrics.jsonl, previews, report.html and the verdict. All randomness derives from
    (seed, step), so that on a CPU a run that was interrupted ends in the same bits, with the same precision and number
    of threads: sums in another order end in other bits. What was cut off after the last step is done on the next start.

    Args:
        stop: asked at each step whether to end after it; a state is saved then, to go on from. See `StopRequest`.

    Raises:
        TrainingError: settings that do not fit each other; later, a loss that is not finite.
        ResumeError: the folder holds a training with other settings or other pictures, or one that is damaged.
        InUseError: another training writes into the folder.
        SaveError: what will be written cannot be; later, what was due could not.
    """
    return Training(model, config, crops, Path(out), origin, stop).run()


class Training:
    """The state of a training run; `run` is the loop."""

    def __init__(
        self,
        model: ModelConfig,
        config: TrainConfig,
        crops: Crops,
        out: Path,
        origin: Origin,
        stop: Callable[[], bool] = lambda: False,
    ):
        self.model, self.config, self.out = model, config, out
        self.origin = Origin(*map(as_text, origin))
        self.stop, self.stopping = stop, False
        self.accelerator = new_accelerator()
        self.device = self.accelerator.device
        check_settings(model, config, crops, self.accelerator.num_processes)
        self.crops, self.unseen = divided(crops, config.hold_out, config.seed, model.classes)
        self.folder = out / "training"
        self.writes = self.accelerator.is_main_process
        self.notes: tuple[str, ...] = ()
        self.made_with: dict[str, Any] = made_with(self.device)
        self.pending = Pending()
        self.done = 0
        self.ownership = self._own() if self.writes else None
        try:
            self._prepare()
        except BaseException:
            self.release()
            raise

    def _check_comparable(self) -> None:
        try:
            check_kinds(sampled_kinds(self._denoiser().object_kinds()), self.crops)
        except MemorisationError as error:
            raise TrainingError(f"stop_at_copies has nothing to compare samples with. {error}") from error

    def _own(self) -> Ownership:
        writable_folder(self.out)
        return Ownership(writable_folder(self.folder))

    def release(self) -> None:
        """Let another training write into the folder."""
        if self.ownership:
            self.ownership.release()

    def _prepare(self) -> None:
        model, config = self.model, self.config
        self.network = first_network(model, config).to(self.device)
        self.ema = EMA(self.network.named_parameters(), config.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.schedule = model.noise.schedule()
        self.batches = Batches(
            self.crops,
            config.augment,
            self.schedule.steps,
            config.batch_size,
            config.seed,
            model.classes,
            config.label_dropout if ANY in model.classes else 0.0,
        )
        self.unseen_batches = self.unseen and Batches(
            self.unseen, Augmentation(), self.schedule.steps, config.batch_size, config.seed, model.classes
        )
        self.weights = torch.tensor([1.0] * model.image_channels + [config.mask_loss_weight] * model.mask_channels)
        self._resume()
        self.early = EarlyStopping(self.folder, config.patience, self.done)
        if config.stop_at_copies:
            self._check_comparable()
        if self.writes:
            check_files(self._files)
            clear_scratch(self.folder)
            remove_states(self.folder, self.done, config.keep)
            check_space(self.out, *sizes_of(self.network), config.keep)
        self.parallel = self.accelerator.prepare_model(self.network)
        if config.compile:
            self.parallel = torch.compile(self.parallel)

    def run(self) -> Iterator[TrainStep]:
        """Learn from one batch after the other."""
        try:
            yield from self._steps()
        finally:
            self.release()

    def _steps(self) -> Iterator[TrainStep]:
        if self.writes and self.done:
            with self._saving():
                self._catch_up()
        if self._ended:
            return
        self._choose_precision()
        config = self.config
        metrics = Metrics(
            self.folder / METRICS, self.done, config.steps, config.batch_size, config.log_every, self.pending
        )
        if self.writes:
            metrics.start()
        with self._board() as board:
            for step, batch in enumerate(self.batches.ahead(self.done, config.steps, self._rows), self.done):
                measured = self._learn(batch.to(self.device), step)
                self.done = step + 1
                report = metrics.report(self.done, measured)
                # not where a signal stops it: an interrupted run measures as often, and ends at the same step
                if self._measures and (self.done % config.save_every == 0 or self.done == config.steps):
                    report = report._replace(held_out=self._measure().loss)
                if self.writes:
                    with self._saving():
                        report = self._write(report, metrics, board)
                yield report._replace(notes=self.notes)
                self.notes = ()
                if self.stopping or self._ended:
                    return

    @property
    def _ended(self) -> bool:
        """Whether nothing is left to learn: all steps are done, or it is time to stop early."""
        return self.done >= self.config.steps or self.early.enough

    @property
    def _saves(self) -> bool:
        """Whether a checkpoint is due after this step."""
        return self._ended or self.stopping or self.done % self.config.save_every == 0

    def _choose_precision(self) -> None:
        """Measure what "auto" stands for, on a batch of the training."""
        if self.config.mixed_precision != "auto":
            return
        clean, noise, t, labels = self.batches(self.done, self._rows).to(self.device)
        x_t = self.schedule.diffuse(clean, 0, t, noise).contiguous(memory_format=torch.channels_last)
        pace = images_per_second(self.network, x_t, t - 1, labels if self.model.classes else None)
        means = self.accelerator.reduce(torch.tensor([*pace.values()], device=self.device), "mean").tolist()
        choice = choose(dict(zip(pace, means, strict=True)))
        self.config = self.config.model_copy(update={"mixed_precision": choice.chosen})
        self.made_with["mixed_precision"] = str(choice)
        self.notes = (f"mixed precision: {choice}",)

    # ---- one step -------------------------------------------------------------------------------------------

    def _learn(self, batch: Batch, step: int) -> Measured:
        rate = learning_rate(self.config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        losses = self._backward(batch, step)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.grad_clip)
        asked = losses.new_tensor([float(self.stop())])  # by a signal, which may reach one process before another
        loss, *measured, stopping = self.accelerator.reduce(torch.cat([losses, asked]), "mean").tolist()
        self.stopping = stopping > 0
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
        parts = [Batch(*part) for part in zip(*(tensor.chunk(self.config.accumulate) for tensor in batch), strict=True)]
        losses = []
        with torch.random.fork_rng(enabled=self.model.network.dropout > 0):
            if self.model.network.dropout:
                number = step * self.accelerator.num_processes + self.accelerator.process_index
                torch.manual_seed(int(stream(self.config.seed, 3, number).integers(2**62)))
            for number, part in enumerate(parts, 1):
                with nullcontext() if number == len(parts) else self.accelerator.no_sync(self.parallel):
                    measured = self._loss(part)
                    self.accelerator.backward(measured[0] / len(parts))
                losses.append(measured.detach())
        return torch.stack(losses).mean(0)

    @property
    def _measures(self) -> bool:
        return self.unseen_batches is not None or self.config.stop_at_copies

    def _measure(self) -> Measurement:
        """Of the average of the weights; every process does it, so that all end at the same step."""
        denoiser = self._denoiser()
        loss = self._held_out_loss(denoiser, self.unseen_batches) if self.unseen_batches else None
        measured = Measurement(loss=loss, copies=self.config.stop_at_copies and self._copies(denoiser))
        self.early.add(self.done, measured)
        return measured

    def _held_out_loss(self, denoiser: NetworkDenoiser, batches: Batches) -> float:
        network = denoiser.network.to(self.device)
        with torch.inference_mode():
            parts = range(math.ceil(DRAWS / self.config.batch_size))
            losses = [self._loss(batches(number).to(self.device), network)[0] for number in parts]
            return float(torch.stack(losses).mean())

    def _copies(self, denoiser: NetworkDenoiser) -> bool:
        """Whether samples repeat training crops; notes tell what was found."""
        steps = min(STEPS, self.model.noise.steps)
        found = memorisation(sampled_kinds(denoiser.object_kinds()), self.crops, SAMPLES, steps, device=self.device)
        self.notes += tuple(f"memorisation at step {self.done}: {each.verdict}" for each in found)
        return any(each.warns for each in found)

    def _loss(self, batch: Batch, network: Callable[..., Tensor] | None = None) -> Tensor:
        clean, noise, t, labels = batch
        clean = mask_target(self.config.mask_target, clean, self.model.image_channels)
        x_t = self.schedule.diffuse(clean, 0, t, noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.mixed_precision == "bf16"):
            # the network counts its times from 0
            output = (network or self.parallel)(x_t, t - 1, labels if self.model.classes else None).float()
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
        saved = steps_in(self.folder)
        good = f"{str(self.out)!r} holds the checkpoint of step {saved[-1]}." if saved else "No checkpoint was written."
        raise TrainingError(
            f"The training diverged at step {step + 1}: loss {loss:.4g}, gradient norm {norm:.4g}. {good} "
            "Try a lower learning_rate, a longer warmup or mixed_precision 'no', in a new folder."
        )

    @property
    def _rows(self) -> range:
        """This process' part of each batch."""
        return range(self.config.batch_size)[self.accelerator.process_index :: self.accelerator.num_processes]

    # ---- files ----------------------------------------------------------------------------------------------

    def _write(self, report: TrainStep, metrics: Metrics, board: Board | None) -> TrainStep:
        """Everything that is due after a step. The line of metrics comes before the state, which so never lacks it."""
        line = metrics.write(report)
        self.pending = metrics.pending
        if board and line:
            board.write(line)
        last = self._ended
        if self._saves:
            self._save()
            report = report._replace(saved=self.out)
        if last or report.step % self.config.preview_every == 0:
            report = report._replace(preview=self._preview())
            if board and report.preview:
                board.show(report.preview, report.step)
        if last:
            return report._replace(verdicts=self._close(), page=self.folder / PAGE)
        return report._replace(page=write_page(self.out)) if report.saved else report

    def _catch_up(self) -> None:
        """Do what an earlier process did not live to do after it had saved its last state."""
        last = self._ended
        if (last or self.done % self.config.preview_every == 0) and not self._preview_path.exists():
            self._preview()
        if last and not closing.finished(self.folder, self.done):
            self._close()

    def _close(self) -> tuple[str, ...]:
        """Hold the finished model against its training crops; its card and page state the verdict."""
        if self.early.best is not None:
            self.ema.load_state_dict(checkpoint.load(self.out).network.state_dict())
        found = closing.look(self._denoiser(), self.crops, self.config, self.done, self.folder, self.device)
        self._place(verdict=found.verdict.summary)
        write_page(self.out)
        closing.mark_finished(self.folder, self.done)
        return tuple(f"{each.name}: {each.verdict}" if each.name else each.verdict for each in found.memorised)

    def _saving(self) -> AbstractContextManager[None]:
        return saving(self.out, self.done, sum(sizes_of(self.network)))

    def _save(self) -> None:
        tensors = {
            "network": self.network.state_dict(),
            "average": self.ema.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer, self.network),
        }
        if self._measures:
            self.early.write()
        # first the checkpoint: if the process is killed between the two, the steps since the last state are done again
        if self.early.best in (None, self.done) or not (self.out / checkpoint.WEIGHTS).exists():
            self._place()
        state = State(self.done, tensors, self._settings, self.pending, self.made_with)
        write_state(self.folder, state, self.config.keep)

    def _place(self, **more: object) -> None:
        """Write the checkpoint.

        Args:
            more: what the card lists beside the settings.
        """
        settings = self._card_settings | more
        card = checkpoint.ModelCard(steps=self.early.best or self.done, settings=settings, **self.origin._asdict())
        place_checkpoint(self.out, self.model, self.ema.state_dict(), card)

    @property
    def _files(self) -> list[Path]:
        """Whatever will be written beside the states."""
        names = (checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.CARD)
        classes = self.model.classes or (None,)
        reports = [self.folder / METRICS, self.folder / PAGE, *closing.files_of(self.folder, classes)]
        return [*(self.out / name for name in names), *reports]

    @property
    def _preview_path(self) -> Path:
        return self.folder / f"preview-{self.done:08d}.png"

    def _preview(self) -> Path:
        count, steps = self.config.preview_samples, self.config.preview_steps
        kinds = self._denoiser().kinds().values()
        images = torch.cat([sample(kind, count, steps, device=self.device) for kind in kinds])
        return write_sheet(self._preview_path, images, self.model.image_channels)

    def _denoiser(self) -> NetworkDenoiser:
        """The model with the average of the weights."""
        network = build(self.model.network, self.ema.state_dict(), "The averaged weights")
        dtype: Dtype = "bfloat16" if self.config.mixed_precision == "bf16" else "float32"
        return NetworkDenoiser(self.model, network, dtype=dtype)

    def _board(self) -> AbstractContextManager[Board | None]:
        if self.config.tensorboard and self.accelerator.is_main_process and self.done < self.config.steps:
            return Board(self.folder / "tensorboard", self.done)
        return nullcontext()

    def _resume(self) -> None:
        state = newest_state(self.folder)
        if state is None:
            return
        self._keep_precision(state)
        check_same(state.settings, self._settings, self.out)
        self._warn_of_other_bits(state)
        self.done, self.pending = state.step, state.pending
        try:
            self.network.load_state_dict(state.tensors["network"])
            self.ema.load_state_dict(state.tensors["average"])
            load_optimizer(self.optimizer, self.network, state.tensors["optimizer"])
        except (KeyError, RuntimeError) as error:
            raise ResumeError(
                f"The training state of step {state.step} in {str(self.folder)!r} lacks what belongs to this network "
                f"({error}). Remove it to go on from an older one."
            ) from error

    def _keep_precision(self, state: State) -> None:
        """What "auto" stood for when the training began."""
        chosen = state.settings.get("training", {}).get("mixed_precision")
        if self.config.mixed_precision == "auto" and chosen in ("no", "bf16"):
            self.config = self.config.model_copy(update={"mixed_precision": chosen})
            if "mixed_precision" in state.made_with:
                self.made_with["mixed_precision"] = state.made_with["mixed_precision"]

    def _warn_of_other_bits(self, state: State) -> None:
        differing = [key for key, value in self.made_with.items() if state.made_with.get(key, value) != value]
        if differing:
            was = ", ".join(f"{key} {state.made_with[key]} before, {self.made_with[key]} now" for key in differing)
            logger.warning("The last bits will not be those of an uninterrupted training: %s.", was)

    @cached_property
    def _settings(self) -> Settings:
        """What must stay the same for a run to go on."""
        free = CADENCE | ({"steps"} if self.config.decay == "none" else set())
        train = self.config.model_dump(mode="json", exclude=free)
        return {
            "model": self.model.model_dump(mode="json"),
            "training": train,
            "data": facts(self.crops),
            PICTURES: {as_text(name): digest for name, digest in digests(self.crops).items()},
        }

    @property
    def _card_settings(self) -> dict[str, object]:
        """What the model card lists."""
        crops = {"pictures": len(self.crops.pictures), "items": len(self.crops), "left out": self.crops.skipped}
        return flat(crops | self.config.model_dump(mode="json", exclude=CADENCE) | self.made_with)


def made_with(device: torch.device) -> dict[str, Any]:
    """On what the last bits of a training depend beside its settings."""
    return {"device": device.type, "threads": torch.get_num_threads(), "torch": str(torch.__version__)}


def new_accelerator() -> Accelerator:
    """The device and the other processes; without GPUs, Accelerate has to be asked for several on the CPU."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return Accelerator(cpu=several and not torch.cuda.is_available())


def first_network(model: ModelConfig, config: TrainConfig) -> nn.Module:
    """The network that training begins with."""
    if config.init is None:
        return new_network(model.network, config.seed)
    return transferred(config.init, model).train().requires_grad_()


def new_network(config: NetworkConfig, seed: int) -> nn.Module:
    """A network with random weights that depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return config.build()


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
