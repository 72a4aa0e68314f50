"""A training of `dmix train`, from what was typed to the last step."""

import os
import re
import shlex
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from dmix_data.augment import Augmentation
from dmix_models.closing import read_verdict
from dmix_models.config import Role
from dmix_models.early_stopping import best, read_measurements
from dmix_models.estimate import Estimate, estimate
from dmix_models.metrics import TrainStep
from dmix_models.page import PAGE
from dmix_models.resume import ResumeError, newest_state
from dmix_models.stopping import StopRequest
from dmix_models.trainer import Origin, TrainConfig, TrainingError, train
from dmix_models.training_notices import training_notices
from dmix_models.training_setup import Architecture, background_setup, object_setup

from ...data_options import data_options
from ...failures import Ended, wrong_use
from ...field_options import explained, taken
from ...printing import printable, say
from ...progress import progress
from . import forecast

SMOOTHED = 100  # steps over which the loss is averaged to be shown
BETWEEN_LINES = 30  # seconds, where there is no terminal for a bar

SETUP = {"background": background_setup, "object": object_setup}


def run(role: Role, folder: Path, out: Path, dry_run: bool, quiet: bool, given: dict[str, Any]) -> None:
    """Train a model with what was typed, or estimate what that takes; of several processes the first one prints."""
    quiet = quiet or os.environ.get("RANK", "0") != "0"
    data = data_options(given)
    config = taken(TrainConfig, given, augment=taken(Augmentation, given))
    architecture = Architecture(given.pop("preset"), given.pop("variance"), given.pop("prediction"))
    stop = StopRequest()
    with wrong_use(TrainingError, ResumeError), explained():
        setup = SETUP[role](folder, out, config, given["size"], data, architecture, _origin(given))
        if not quiet and not _reached(out):
            _note(training_notices(setup))
        begun = estimate(setup) if dry_run else train(*setup, stop=stop)
    if not isinstance(begun, Estimate):
        _train(begun, out, config.steps, quiet, stop)
    elif not quiet:
        forecast.show(begun)


def _note(notices: Sequence[str]) -> None:
    """What the user may not have meant, in the words of the options."""
    for notice in notices:
        text = re.sub(r"`(\w+)`", lambda match: f"--{match[1].replace('_', '-')}", notice)
        say(f"Note: {text}", err=True)


def _train(steps: Iterator[TrainStep], out: Path, total: int, quiet: bool, stop: StopRequest) -> None:
    with stop:
        last = _follow(steps, total, quiet)
    if stop.received and last and last.step < total:
        say(
            f"{stop.received.name}: stopped after step {last.step} of {total}, which is saved. "
            "Run the same command again to go on.",
            err=True,
        )
        raise Ended(stop.received)
    if not quiet:
        outcome = f"Trained {out} to step {last.step}" if last else f"{out} was already trained to step {_reached(out)}"
        say(f"{outcome}{_kept(out)}; see {out / 'training' / PAGE}.")
        verdict = read_verdict(out / "training")
        say("\n".join(verdict.lines) if verdict else "There is no verdict on it.")


def _kept(out: Path) -> str:
    """Of which step the weights are, where measurements have decided that."""
    found = read_measurements(out / "training")
    step = best(found)
    if step is None:
        return ""
    loss, copied = found[step].loss, [each for each, measured in found.items() if measured.copies]
    why = "" if loss is None else f", where the held-out loss was lowest ({loss:.4f})"
    since = f"; samples repeat training crops at step {copied[0]}" if copied else ""
    return f"; the weights are those of step {step}{why}{since}"


def _reached(out: Path) -> int:
    """How far an earlier training came, which without decay may be further than what was asked for."""
    state = newest_state(out / "training")
    return state.step if state else 0


def _origin(given: dict[str, Any]) -> Origin:
    card = {"data": given.pop("data"), "licence": given.pop("licence"), "notes": given.pop("notes")}
    command = shlex.join(["dmix", *sys.argv[1:]])
    return Origin(command=command, **{key: value for key, value in card.items() if value is not None})


def _follow(steps: Iterator[TrainStep], total: int, quiet: bool) -> TrainStep | None:
    """Run the training behind a progress bar; the last step, or None if there was nothing left to do."""
    losses: deque[float] = deque(maxlen=SMOOTHED)
    first = next(steps, None)
    if first is None:
        return None
    printed = time.monotonic()
    with progress("training", "step", quiet, total=total, initial=first.step - 1) as bar:
        for step in chain([first], steps):
            losses.append(step.loss)
            pace = f"loss {fmean(losses):.4f}, {step.images_per_second:.1f} images/s"
            bar.set_postfix_str(pace, refresh=False)
            bar.update()
            if quiet:
                continue
            if bar.disable and (time.monotonic() - printed > BETWEEN_LINES or step.step == total):
                printed = time.monotonic()
                say(f"step {step.step} of {total}: {pace}, {timedelta(seconds=round(step.eta))} left", err=True)
            _show(step, bar)
    return step


def _show(step: TrainStep, bar: tqdm) -> None:
    written = [("checkpoint", step.saved), ("preview", step.preview)]
    held_out = [] if step.held_out is None else [f"step {step.step}: held-out loss {step.held_out:.4f}"]
    lines = [*step.notes, *held_out, *(f"step {step.step}: {what} {path}" for what, path in written if path)]
    for line in [*lines, *(f"memorisation: {verdict}" for verdict in step.verdicts)]:
        bar.write(printable(line), file=sys.stderr)
