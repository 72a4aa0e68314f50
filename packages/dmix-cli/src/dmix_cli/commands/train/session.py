"""`dmix train`: its work."""

import os
import shlex
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import click
from pydantic import ValidationError
from tqdm import tqdm

from dmix_models.config import Role
from dmix_models.data.augment import Augmentation
from dmix_models.estimate import Estimate, estimate
from dmix_models.metrics import TrainStep
from dmix_models.page import PAGE
from dmix_models.plans import plan_background, plan_object
from dmix_models.resume import ResumeError, newest_state
from dmix_models.trainer import Origin, TrainConfig, TrainingError, train

from . import estimating
from .datasets import check_data
from .failures import wrong_use
from .progress import progress

SMOOTHED = 100  # steps over which the loss is averaged to be shown
BETWEEN_LINES = 30  # seconds, where there is no terminal for a bar

PLAN = {"background": plan_background, "object": plan_object}


def run(role: Role, folder: Path, out: Path, dry_run: bool, quiet: bool, given: dict[str, Any]) -> None:
    """Train a model with what was typed, or say what that would take; of several processes the first one speaks."""
    quiet = quiet or os.environ.get("RANK", "0") != "0"
    with wrong_use(TrainingError, ResumeError), _explained():
        check_data(given["layout"], given.get("mask_rule"))
        config = _taken(TrainConfig, given, augment=_taken(Augmentation, given))
        plan = PLAN[role](folder, out, config, origin=_origin(given), **given)
        begun = estimate(plan) if dry_run else train(*plan)
    if not isinstance(begun, Estimate):
        _train(begun, out, config.steps, quiet)
    elif not quiet:
        estimating.tell(begun)


def _train(steps: Iterator[TrainStep], out: Path, total: int, quiet: bool) -> None:
    done = _follow(steps, total, quiet)
    if not quiet:
        told = f"Trained {out} to step {total}" if done else f"{out} was already trained to step {_reached(out)}"
        click.echo(f"{told}; see {out / 'training' / PAGE}.")


def _reached(out: Path) -> int:
    """How far an earlier training came, which without decay may be further than what was asked for."""
    state = newest_state(out / "training")
    return state.step if state else 0


@contextmanager
def _explained() -> Iterator[None]:
    """What no model can be made of, and no training, in the words of the command line."""
    try:
        yield
    except ValidationError as error:
        problems = [_problem(dict(problem)) for problem in error.errors()]
        raise click.UsageError("\n".join(problems), click.get_current_context()) from error


def _problem(problem: dict[str, Any]) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return f"{message}."
    option = str(problem["loc"][0]).replace("_", "-")
    return f"--{option} is {problem['input']!r}: {message}."


def _taken(make: Any, given: dict[str, Any], **more: Any) -> Any:
    """A settings object, of those among `given` that are its fields; they are taken out."""
    return make(**more, **{field: given.pop(field) for field in make.model_fields if field in given})


def _origin(given: dict[str, Any]) -> Origin:
    card = {"data": given.pop("data"), "licence": given.pop("licence"), "notes": given.pop("notes")}
    command = shlex.join(["dmix", *sys.argv[1:]])
    return Origin(command=command, **{key: value for key, value in card.items() if value is not None})


def _follow(steps: Iterator[TrainStep], total: int, quiet: bool) -> bool:
    """Run the training behind a progress bar; False if there was nothing left to do."""
    losses: deque[float] = deque(maxlen=SMOOTHED)
    first = next(steps, None)
    if first is None:
        return False
    told = time.monotonic()
    with progress("training", "step", quiet, total=total, initial=first.step - 1) as bar:
        for step in chain([first], steps):
            losses.append(step.loss)
            pace = f"loss {fmean(losses):.4f}, {step.images_per_second:.1f} images/s"
            bar.set_postfix_str(pace, refresh=False)
            bar.update()
            if quiet:
                continue
            if bar.disable and (time.monotonic() - told > BETWEEN_LINES or step.step == total):
                told = time.monotonic()
                click.echo(f"step {step.step} of {total}: {pace}, {timedelta(seconds=round(step.eta))} left", err=True)
            _tell(step, bar)
    return True


def _tell(step: TrainStep, bar: tqdm) -> None:
    for what, path in (("checkpoint", step.saved), ("preview", step.preview)):
        if path:
            bar.write(f"step {step.step}: {what} {path}", file=sys.stderr)
    for verdict in step.verdicts:
        bar.write(f"memorisation: {verdict}", file=sys.stderr)
