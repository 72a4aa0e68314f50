"""`dmix distill`: a model that goes down to the merge window in fewer calls."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..failures import Ended, wrong_use
from ..parameters import NEW_FOLDER, STEPS, Count, Finite
from ..printing import say

if TYPE_CHECKING:
    from dmix_models.distillation import DistillConfig
    from dmix_models.train_config import Origin

COUNT = Count(1, 10**9)


@click.command(short_help="A model that needs fewer calls.")
@click.argument("teacher", metavar="MODEL")
@click.option("--levels", type=STEPS, default=250, show_default=True, help="T, with which the new model is walked.")
@click.option(
    "--fine-from",
    type=Finite(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="The fraction of the denoising from which it stays as MODEL is, as --merge-from of dmix compose.",
)
@click.option("--moves-from", type=STEPS, default=32, show_default=True, help="Moves down to there of MODEL.")
@click.option("--moves", type=STEPS, default=8, show_default=True, help="Moves of the new model; halved until then.")
@click.option("--steps", type=COUNT, default=1000, show_default=True, help="Training steps of each halving.")
@click.option(
    "--batch-size", type=Count(1, "LARGEST_BATCH"), default=32, show_default=True, help="States in a training step."
)
@click.option("--learning-rate", type=Finite(0, min_open=True), default=1e-4, show_default=True, help="At its highest.")
@click.option("--seed", type=Count(0, "HIGHEST_SEED"), default=0, show_default=True, help="All noise derives from it.")
@click.option("--save-every", type=COUNT, default=500, show_default=True, help="Steps between states to go on from.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, mps.")
@click.option("-o", "--out", type=NEW_FOLDER, required=True, help="The checkpoint's folder; its name is the model's.")
@click.option("--dry-run", is_flag=True, help="Measure a step, and print how long it will take; write nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
def distill(teacher: str, out: Path, device: str, dry_run: bool, quiet: bool, **given: Any) -> None:
    """Distil MODEL, a model's name or folder, into one that goes down to the merge window in fewer calls.

    The new model begins as MODEL, learns in one deterministic move what MODEL takes in two, and so on: from 32 moves
    to 16 and to 8. It learns from what MODEL paints, without any pictures, and stays as MODEL is in the merge window. A
    run into the folder of an earlier one goes on where that stopped.

    It is walked with the same T by the plugin dmix-fewsteps, as its README.md states:

    \b
      dmix distill models/holes -o models/fast-holes
      dmix compose --object models/fast-holes --steps 250 --plugin few-steps --set few-steps.calls=8 --plugin ddim
    """
    from dmix_core.devices import check_device
    from dmix_models.distillation import DistillationError, DistillConfig, seconds_of
    from dmix_models.resume import ResumeError

    with wrong_use(DistillationError, ResumeError):
        config, place = DistillConfig(**given), check_device(device)
        if dry_run:
            _forecast(seconds_of(teacher, config, place), config)
            return
        _run(teacher, out, config, place, quiet)


def _forecast(seconds: float, config: "DistillConfig") -> None:
    total = seconds * config.steps * len(config.halvings)
    halvings = f"{len(config.halvings)} halvings of {config.steps} steps, {seconds:.2f} s each"
    say(f"{halvings}: about {total / 60:.0f} minutes here. Nothing was written.")


def _run(teacher: str, out: Path, config: "DistillConfig", device: Any, quiet: bool) -> None:
    from dmix_models.distillation import distill as distilled
    from dmix_models.stopping import StopRequest

    from ..progress import progress

    last = None
    with StopRequest() as stop, progress("distilling", "step", quiet, total=config.steps * len(config.halvings)) as bar:
        for step in distilled(teacher, out, config, _origin(teacher), device, stop):
            bar.set_postfix_str(f"{step.moves} moves, loss {step.loss:.5f}", refresh=False)
            bar.update()
            if step.saved and not quiet:
                bar.write(f"{step.moves} moves: {step.saved}, loss {step.loss:.5f}")
            last = step
    if stop.received and last and not (last.step == config.steps and last.moves == config.moves):
        say(f"{stop.received.name}: stopped, and saved. Run the same command again to go on.", err=True)
        raise Ended(stop.received)
    if not quiet:
        say(f"{out} takes {config.moves} moves." if last else f"{out} was already distilled.")


def _origin(teacher: str) -> "Origin":
    import shlex
    import sys

    from dmix_models.distillation import origin_of

    return origin_of(teacher)._replace(command=shlex.join(["dmix", *sys.argv[1:]]))
