"""Progressive distillation of the way down to the merge window (Salimans & Ho 2022, arXiv:2202.00512, algorithm 2).

A student takes in one deterministic move what its teacher takes in two; then it is the teacher of the next one, from 32
moves to 16 and to 8. It begins as the teacher and learns from the teacher's own trajectories, so that no pictures are
needed. In the merge window, where fresh noise is drawn at each level, it is kept as the teacher is.

The levels are those of the walk `few-steps` of dmix-fewsteps, and the move is `dmix_core.Ddim` with eta = 0.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat
from torch import Tensor, nn

from dmix_core.errors import DmixError
from dmix_core.files import writable_folder
from dmix_core.limits import LARGEST_BATCH, MOST_STEPS
from dmix_core.noise import NoiseSchedule
from dmix_data.batches import stream

from . import checkpoint
from .denoiser import NetworkDenoiser
from .ema import EMA
from .ownership import Ownership
from .resume import (
    PICTURES,
    ResumeError,
    Settings,
    State,
    check_same,
    check_space,
    clear_scratch,
    load_optimizer,
    newest_state,
    optimizer_tensors,
    remove_states,
    saving,
    sizes_of,
    steps_in,
    write_state,
)
from .train_config import MOST, Origin, TrainConfig
from .trainer import learning_rate, made_with, place_checkpoint
from .weights import build

TRAJECTORIES, WINDOW = 7, 8
"""Purposes of random numbers, beside those of other parts of a training."""


class DistillationError(DmixError):
    """A distillation that cannot be made, or that has diverged."""


class DistillConfig(BaseModel):
    """How to distil.

    Attributes:
        levels: T, the levels of the walk; the student is to be walked with as many.
        fine_from: the fraction of the denoising after which it goes level by level, as the teacher does it.
        moves_from: how many moves down to there the teacher takes.
        moves: how many the last student takes: moves_from halved once or several times.
        steps: of each halving.
        ema_decay: of the average of the weights, which is what gets saved, and the next teacher.
        save_every, keep: in steps, and how many training states stay on disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    levels: int = Field(250, ge=2, le=MOST_STEPS)
    fine_from: float = Field(0.9, gt=0, lt=1)
    moves_from: int = Field(32, ge=2, le=MOST_STEPS)
    moves: int = Field(8, ge=1, le=MOST_STEPS)
    steps: int = Field(1000, ge=1, le=MOST)
    batch_size: int = Field(32, ge=1, le=LARGEST_BATCH)
    learning_rate: PositiveFloat = 1e-4
    warmup: int = Field(50, ge=0, le=MOST)
    ema_decay: float = Field(0.99, ge=0, lt=1)
    grad_clip: PositiveFloat = 1.0
    seed: int = Field(0, ge=0, lt=2**63)
    save_every: int = Field(500, ge=1, le=MOST)
    keep: int = Field(1, ge=1, le=MOST)

    @property
    def halvings(self) -> list[int]:
        """How many moves each student takes, from first to last.

        Raises:
            DistillationError: `moves_from` halved never is `moves`, or there are fewer levels than moves.
        """
        found = [self.moves_from]
        while found[-1] > self.moves and found[-1] % 2 == 0:
            found.append(found[-1] // 2)
        if found[-1] != self.moves or len(found) < 2:
            raise DistillationError(
                f"{self.moves_from} moves cannot be halved to {self.moves}; expected moves_from as moves times 2, 4, "
                "8 and so on, such as 32 to 8."
            )
        if self.moves_from > self.levels - window_of(self.levels, self.fine_from):
            raise DistillationError(
                f"There are fewer than {self.moves_from} of {self.levels} levels before {self.fine_from} of the "
                "denoising; expected fewer moves, or more levels."
            )
        return found[1:]

    @property
    def rate(self) -> TrainConfig:
        """What decides the learning rate, as for a training."""
        return TrainConfig(steps=self.steps, learning_rate=self.learning_rate, warmup=self.warmup)


class DistillStep(NamedTuple):
    """What one step has done.

    Attributes:
        moves: of the student that learns.
        step: of this halving, from 1.
        loss: the mean squared error of what the network predicts.
        saved: the checkpoint's folder, where it was written.
    """

    moves: int
    step: int
    loss: float
    saved: Path | None = None


def distill(
    teacher: str | Path,
    out: str | Path,
    config: DistillConfig,
    origin: Origin | None = None,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[DistillStep]:
    """Distil a model, going on where an earlier run into the same folder stopped.

    The folder becomes an ordinary checkpoint when the first halving is done, and again with each one. All randomness
    derives from the seed, so that on a CPU an interrupted run ends in the bits of an uninterrupted one.

    Args:
        teacher: the name or folder of a model.
        stop: asked at each step whether to end after it; a state is saved then, to go on from.

    Raises:
        DistillationError: settings that do not fit each other; later, a loss that is not finite.
        CheckpointError: no such teacher, or a damaged one.
        ResumeError: the folder holds a training, or a distillation with other settings.
        InUseError: another one writes into the folder.
        SaveError: a file cannot be written.
    """
    out, halvings = Path(out), config.halvings
    denoiser = checkpoint.load(teacher, device)
    if steps_in(out / "training"):
        raise ResumeError(f"{str(out)!r} holds a training; expected a new folder, or one of an earlier distillation.")
    writable_folder(out)
    return _halved(teacher, denoiser, out, config, halvings, origin or origin_of(teacher), stop)


def _halved(
    teacher: str | Path,
    denoiser: NetworkDenoiser,
    out: Path,
    config: DistillConfig,
    halvings: Sequence[int],
    origin: Origin,
    stop: Callable[[], bool],
) -> Iterator[DistillStep]:
    ownership = Ownership(writable_folder(out / "training"))
    stated: dict[str, object] = {"teacher": str(teacher), "teacher sha256": denoiser.sha256}
    try:
        for moves in halvings:
            halving = Halving(denoiser, moves, config, out, stated)
            yield from halving.run(origin, stop)
            if halving.stopped:
                return
            denoiser = halving.student()
    finally:
        ownership.release()


def origin_of(teacher: str | Path) -> Origin:
    """What the card of a student states of its making; the licence is its teacher's."""
    card = checkpoint.read_card(checkpoint.find(teacher)).splitlines()
    licences = [line.removeprefix("- licence: ") for line in card if line.startswith("- licence: ")]
    return Origin("none of its own; it was distilled", "dmix_models.distillation.distill(...)", *licences[:1])


def seconds_of(teacher: str | Path, config: DistillConfig, device: torch.device | str = "cpu") -> float:
    """About how long a step of a distillation takes, its share of the teacher's trajectories included; in seconds.

    Raises:
        DistillationError, CheckpointError: as for `distill`.
    """
    moves = config.halvings[0]
    denoiser = checkpoint.load(teacher, device)
    lessons = Teacher(denoiser, 1, config.model_copy(update={"moves_from": 2, "moves": 1})).round(0)  # warm
    network = copy.deepcopy(denoiser.network).requires_grad_()
    start = time.perf_counter()
    maker = Teacher(denoiser, moves, config)
    maker.round(0)
    middle = time.perf_counter()
    part = lessons.part(torch.arange(config.batch_size))
    outputs(network, part.x, part.level, part.label, denoiser.config.classes).mean().backward()
    return (middle - start) / maker.batches + time.perf_counter() - middle


# ---- moves ----------------------------------------------------------------------------------------------------


def window_of(levels: int, fine_from: float) -> int:
    """The level from which the walk goes level by level."""
    return math.floor((1 - fine_from) * levels + 1e-9)


def levels_of(levels: int, fine_from: float, moves: int) -> list[int]:
    """The levels of so many moves from T down to the window, spread evenly; those of half as many are among them."""
    window = window_of(levels, fine_from)
    return [levels - round(i * (levels - window) / moves) for i in range(moves + 1)]


def moved(noise: NoiseSchedule, x_t: Tensor, clean: Tensor, t: int, s: int) -> Tensor:
    """The deterministic move from level t to level s (Song et al. 2021, eq. 12 with sigma = 0)."""
    a_t, a_s = float(noise.alpha_bar[t]), float(noise.alpha_bar[s])
    epsilon = (x_t - a_t**0.5 * clean) / (1 - a_t) ** 0.5
    return a_s**0.5 * clean + (1 - a_s) ** 0.5 * epsilon


def clean_of_move(noise: NoiseSchedule, x_t: Tensor, x_s: Tensor, t: int, s: int) -> Tensor:
    """The clean image with which one deterministic move from x_t at level t ends in x_s at level s.

    Salimans & Ho 2022, algorithm 2. For two moves it is a mean of their two clean images, weights from 0 to 1.
    """
    a_t, a_s = float(noise.alpha_bar[t]), float(noise.alpha_bar[s])
    ratio = ((1 - a_s) / (1 - a_t)) ** 0.5
    return (x_s - ratio * x_t) / (a_s**0.5 - ratio * a_t**0.5)


# ---- what is learned from ---------------------------------------------------------------------------------------


class Lessons(NamedTuple):
    """States, what the student is to predict from them, and their levels and labels; all (N, ...)."""

    x: Tensor
    """(N, C + M, h, w)."""
    target: Tensor
    """What the network is to give, shaped as its output."""
    level: Tensor
    """(N,) levels of the model's own table, 1..T."""
    label: Tensor
    """(N,) of classes; zeros without classes."""

    def part(self, rows: Tensor) -> "Lessons":
        return Lessons(*(tensor[rows] for tensor in self))


class Teacher:
    """Gives lessons for students of half as many moves.

    Args:
        denoiser: whose network takes twice `moves`.
        moves: of the student.
    """

    def __init__(self, denoiser: NetworkDenoiser, moves: int, config: DistillConfig) -> None:
        self.model, self.network, self.device = denoiser.config, denoiser.network, denoiser.device
        self.config = config
        self.table = self.model.noise.schedule()
        self.noise = self.table.respace(config.levels)
        self.walk = levels_of(config.levels, config.fine_from, 2 * moves)

    @property
    def batches(self) -> int:
        """The batches in the lessons of a round."""
        return len(self.walk) // 2 + 1

    @torch.no_grad()
    def round(self, number: int) -> Lessons:
        """The lessons of a batch of trajectories: of each pair of moves, and one in the window; in random order."""
        random, size = stream(self.config.seed, TRAJECTORIES, number), self.config.batch_size
        x = self._drawn(random.standard_normal((size, *self.model.spec.shape), dtype="float32"))
        label = self._drawn(random.integers(max(1, len(self.model.classes)), size=size))
        lessons = []
        for t, between, s in zip(self.walk[::2], self.walk[1::2], self.walk[2::2], strict=False):
            output, clean = self._predicted(x, t, label)
            half = moved(self.noise, x, clean, t, between)
            end = moved(self.noise, half, self._predicted(half, between, label)[1], between, s)
            lessons.append(self._lesson(x, end, output, label, t, s))
            x = end
        lessons.append(self._in_window(x, label, number))
        whole = Lessons(*(torch.cat(parts) for parts in zip(*lessons, strict=True)))
        return whole.part(self._drawn(random.permutation(len(whole.x))))

    def _lesson(self, x: Tensor, end: Tensor, output: Tensor, label: Tensor, t: int, s: int) -> Lessons:
        """To predict, of the learned variance what the teacher does, and else what leads to `end` in one move."""
        a_t = float(self.noise.alpha_bar[t])
        clean = clean_of_move(self.noise, x, end, t, s)
        epsilon = (x - a_t**0.5 * clean) / (1 - a_t) ** 0.5
        aim = self.noise.target_for(self.model.prediction, clean, epsilon, t)
        level = torch.full_like(label, self.noise.levels[t])
        return Lessons(x, torch.cat([aim, output[:, aim.shape[1] :]], 1), level, label)

    def _in_window(self, x: Tensor, label: Tensor, number: int) -> Lessons:
        """To predict at a random level of the window what the teacher does."""
        random, bottom = stream(self.config.seed, WINDOW, number), self.walk[-1]
        clean = self._predicted(x, bottom, label)[1]
        level = self._drawn(random.integers(1, self.noise.levels[bottom] + 1, size=len(x)))
        fresh = self._drawn(random.standard_normal(tuple(x.shape), dtype="float32"))
        state = self.table.diffuse(clean, 0, level, fresh)
        return Lessons(state, outputs(self.network, state, level, label, self.model.classes), level, label)

    def _predicted(self, x: Tensor, t: int, label: Tensor) -> tuple[Tensor, Tensor]:
        """The network's output at a level of the walk, and its clean image, clamped as a denoiser's is."""
        level = torch.full_like(label, self.noise.levels[t])
        output = outputs(self.network, x, level, label, self.model.classes)
        predicted = output[:, : x.shape[1]]
        return output, self.noise.clean_from(self.model.prediction, predicted, x, t).clamp(-1, 1)

    def _drawn(self, values: object) -> Tensor:
        return torch.as_tensor(values).to(self.device)


def outputs(network: nn.Module, x: Tensor, level: Tensor, label: Tensor, classes: Sequence[str]) -> Tensor:
    """What a network gives for states of several levels of its table and labels."""
    x = x.contiguous(memory_format=torch.channels_last)
    output: Tensor = network(x, level - 1, label if classes else None)  # it counts its times from 0
    return output.float()


# ---- one halving ------------------------------------------------------------------------------------------------


class Halving:
    """A student that learns to take in one move what its teacher takes in two.

    Args:
        denoiser: the teacher.
        moves: of the student.
        stated: what its states and its card say of the first teacher.

    Attributes:
        done: how many steps it has learned.
        stopped: whether it was asked to stop before its last one.
    """

    def __init__(
        self, denoiser: NetworkDenoiser, moves: int, config: DistillConfig, out: Path, stated: dict[str, object]
    ) -> None:
        self.teacher, self.moves, self.config, self.out = Teacher(denoiser, moves, config), moves, config, out
        self.stated, self.model = stated, denoiser.config.model_copy(update={"name": out.resolve().name})
        self.folder = writable_folder(out / "training" / f"moves-{moves}")
        clear_scratch(self.folder)
        self.network = copy.deepcopy(denoiser.network).requires_grad_()
        self.ema = EMA(self.network.named_parameters(), config.ema_decay)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate, weight_decay=0, fused=True)
        self.done, self.stopped = 0, False
        self._resume()
        remove_states(self.folder, self.done, config.keep)
        check_space(out, *sizes_of(self.network), config.keep)

    def run(self, origin: Origin, stop: Callable[[], bool]) -> Iterator[DistillStep]:
        """Learn from one batch after the other."""
        for step, lessons in enumerate(self._lessons(), self.done):
            loss = self._learn(lessons, step)
            self.done, self.stopped = step + 1, stop() and step + 1 < self.config.steps
            last = self.done == self.config.steps
            if last:
                with saving(self.out, self.done, sum(sizes_of(self.network))):
                    self._place(origin)  # before the state, so that what is done twice is done whole
            if last or self.stopped or self.done % self.config.save_every == 0:
                with saving(self.out, self.done, sum(sizes_of(self.network))):
                    self._save()
            yield DistillStep(self.moves, self.done, loss, self.out if last else None)
            if self.stopped:
                return

    def student(self) -> NetworkDenoiser:
        """With the average of the weights."""
        network = build(self.model.network, self.ema.state_dict(), "The averaged weights").requires_grad_(False)
        return NetworkDenoiser(self.model, network.to(self.teacher.device))

    def _lessons(self) -> Iterator[Lessons]:
        """The batches that are left, of one round after the other."""
        size, each = self.config.batch_size, self.teacher.batches
        for number in range(self.done // each, -(-self.config.steps // each)):
            lessons = self.teacher.round(number)
            first = max(0, self.done - number * each)
            for place in range(first, min(each, self.config.steps - number * each)):
                yield Lessons(*(tensor[place * size : (place + 1) * size] for tensor in lessons))

    def _learn(self, lessons: Lessons, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.rate, step)
        self.optimizer.zero_grad()
        output = outputs(self.network, lessons.x, lessons.level, lessons.label, self.model.classes)
        loss = ((output - lessons.target) ** 2).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.grad_clip)
        value = float(loss.detach())
        if not math.isfinite(value + float(norm)):
            raise DistillationError(
                f"The distillation to {self.moves} moves diverged at step {step + 1}: loss {value:.4g}. Try a "
                "lower learning rate or a longer warmup, in a new folder."
            )
        self.optimizer.step()
        self.ema.update(self.network.named_parameters(), step)
        return value

    # ---- files ----------------------------------------------------------------------------------------------

    @cached_property
    def _settings(self) -> Settings:
        """What must stay the same for a run to go on."""
        own = self.config.model_dump(mode="json", exclude={"save_every", "keep"})
        stated = {name: value for name, value in self.stated.items() if name != "teacher"}
        return {"model": self.model.model_dump(mode="json"), "distillation": own | stated, PICTURES: {}}

    def _resume(self) -> None:
        state = newest_state(self.folder)
        if state is None:
            return
        check_same(state.settings, self._settings, self.out)
        self.done = state.step
        self.network.load_state_dict(state.tensors["network"])
        self.ema.load_state_dict(state.tensors["average"])
        load_optimizer(self.optimizer, self.network, state.tensors["optimizer"])

    def _save(self) -> None:
        tensors = {
            "network": self.network.state_dict(),
            "average": self.ema.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer, self.network),
        }
        state = State(self.done, tensors, self._settings, made_with=made_with(self.teacher.device))
        write_state(self.folder, state, self.config.keep)

    def _place(self, origin: Origin) -> None:
        """Write the checkpoint."""
        config = self.config
        own = {"moves": self.moves} | config.model_dump(include={"levels", "fine_from", "batch_size", "seed"})
        walk = [self.teacher.noise.levels[level] for level in self.teacher.walk[::2]]
        more = {"its moves go through the levels": ", ".join(map(str, walk))}
        use = (
            f"It goes from T = {config.levels} to the merge window in {self.moves} moves, and on level by level: "
            f"--steps {config.levels} --plugin few-steps --set few-steps.calls={self.moves} --plugin ddim"
        )
        card = checkpoint.ModelCard(
            steps=self.done,
            settings={**self.stated, **own, **more},
            **origin._replace(notes="\n".join([use, origin.notes]))._asdict(),
        )
        place_checkpoint(self.out, self.model, self.ema.state_dict(), card)
