"""`dmix compose`: compose images from models, with masks."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmix_core.rule_presets import PRESETS

from .. import unseen
from ..failures import wrong_use
from ..paper import PaperCommand
from ..parameters import (
    FILE,
    MOST_RESAMPLES,
    MOST_TRIES,
    NEW_FOLDER,
    SAMPLES,
    Count,
    Finite,
    ModelType,
    ObjectType,
    PercentagesType,
    SettingType,
    ShareType,
    SizeType,
    WrapType,
)
from ..printing import print_json, reserve_stdout, say

if TYPE_CHECKING:
    from dmix_core.animation import DenoisingGif
    from dmix_core.output import SampleFiles
    from dmix_core.redraw import Redraw
    from dmix_core.run import Run, RunFolder
    from dmix_core.sample import Sample
    from dmix_core.step import Step
    from dmix_core.strip import DenoisingStrip

    Watching = Mapping[str, DenoisingStrip | DenoisingGif]

OPTIONS = {
    "background": "--background",
    "objects": "--object",
    "plugins": "--plugin",
    "wraps": "--wrap",
    "settings": "--set",
    "listen_from": "--listen-from",
    "size": "--size",
    "dtype": "--dtype",
}
"""Which option sets a field of an edit."""
WALK = ("jump_length", "resamples")
"""Options that are settings of the timestep schedule."""


@click.command(cls=PaperCommand, short_help="Compose images from models, with masks.")
@click.argument("recipe", required=False, type=FILE)
@click.option(
    "--preset",
    type=click.Choice([*PRESETS]),
    help="Rules for a need, in the place of the recipe's; other options win over them.",
)
@click.option("--background", type=ModelType(), help="What fills the canvas.  [default: tiles]")
@click.option(
    "--object",
    "objects",
    multiple=True,
    type=ObjectType(),
    help="An object, above those before it; without a box in the centre, at its own size.  [default: defects:blowhole]",
)
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="A merge rule, schedule, stepper or exporter.")
@click.option(
    "--wrap",
    "wraps",
    multiple=True,
    type=WrapType(),
    help="A wrapper around a region's model; the first given is innermost.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    type=SettingType(),
    help="A setting of a plugin in use or of a region's model; `dmix plugins` lists the settings of each plugin.",
)
@click.option(
    "--listen-from",
    multiple=True,
    type=ShareType(),
    help="The fraction of the denoising from which this region takes in the others.",
)
@click.option("--size", type=SizeType(), help="The canvas.  [default: the background's own size]")
@click.option("--steps", type=Count(None, "MOST_STEPS"), help="T, denoising steps.  [default: 250]")
@click.option(
    "--jump-length", type=Count(None, "MOST_STEPS"), help="How many levels each resampling climbs back.  [default: 10]"
)
@click.option(
    "--resamples", type=Count(None, MOST_RESAMPLES), help="How often to climb back and come down again.  [default: 2]"
)
@click.option(
    "--merge-from", type=Finite(), help="The fraction of the denoising from which the models merge.  [default: 0.9]"
)
@click.option(
    "--others", type=click.Choice(["clean", "noisy"]), help="Which tensor of the others is noised.  [default: clean]"
)
@click.option(
    "--seams",
    type=click.Choice(["keep-variance", "literal"]),
    help="How noise is mixed at soft seams.  [default: keep-variance]",
)
@click.option("--seed", type=Count(None, "HIGHEST_SEED"), help="All noise derives from it.  [default: 0]")
@click.option("-n", "--samples", type=SAMPLES, help="How many images.  [default: 1]")
@click.option("--batch-size", type=Count(None, "LARGEST_BATCH"), help="How many run together.  [default: 8]")
@click.option("--device", help="Where to compute: cpu, cuda, mps.  [default: cpu]")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), help="Of the networks.  [default: float32]")
@click.option("--backend", metavar="NAME", help="What calls the networks: torch, compile.  [default: torch]")
@click.option(
    "--redraw",
    "tries",
    type=Count(0, MOST_TRIES),
    default=0,
    show_default=True,
    help="How often a sample is drawn again, at most, in which a mask is empty or an object has faded.",
)
@click.option("--drop", is_flag=True, help="Leave out samples in which a mask is empty or an object has faded.")
@click.option(
    "--min-contrast",
    "least_contrast",
    type=Finite(min=0, max=255),
    default=6.0,
    show_default=True,
    help="An object of less, in grey levels, has faded; of real blowholes 5 % have less than 6.",
)
@click.option("-o", "--out", type=NEW_FOLDER, default="dmix-out", show_default=True, help="The folder to write into.")
@click.option("--resume", is_flag=True, help="Make only what an earlier run of the same recipe has not finished in -o.")
@click.option("--strip/--no-strip", default=True, help="Draw how the first sample came about.  [default: strip]")
@click.option(
    "--strip-at",
    type=PercentagesType(),
    help="The percentages of the denoising that the strip shows.  [default: 0,50,80,89,90,95,100]",
)
@click.option("--gif", is_flag=True, help="Animate how the first sample came about, as denoising.gif.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=reserve_stdout,
    help="Print one JSON object on stdout, with what was written.",
)
def compose(
    recipe: Path | None,
    out: Path,
    resume: bool,
    strip: bool,
    strip_at: tuple[float, ...] | None,
    gif: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compose images; without arguments, the bundled magnetic tiles with blowholes.

    MODEL is the name of a bundled model (see `dmix models`), a checkpoint folder, or NAME or NAME:ARGUMENT of a plugin;
    for a model of several classes FOLDER:CLASS. Each object's region is called after the last part of what was typed,
    the second of that name blowhole-2, the third blowhole-3; --listen-from, --wrap and --set name one of them.
    IMAGE is a picture: under the hard mask, pixels that no object owns come out as they are. As an object, a
    picture owns what is opaque in it.

    --preset paper has the paper's settings, which are the defaults; recommended, made for training detectors, takes
    fewer calls and lets objects take on the light of photographs; fast, for previews, takes fewer still.

    RECIPE is a file as every run writes it, and makes the same images again; options replace what it states. Where
    versions or weights are other ones than it was made with, a line on stderr names them.

    Into the output folder go images/, masks/ (each pixel holds the number of the region that owns it, 0 for the
    background), overlays/, amodal/ (each object's mask as if nothing covered it), strip.png, sheet.png for several
    samples, recipe.json, samples.jsonl with the objects of each sample, and a folder for each exporter. Files of
    the same names are replaced. With --resume, samples that are finished stay; without other options the recipe is that
    of the folder.

    Samples in which a mask is empty or an object has faded are named at the end. Those that --redraw draws again keep
    their numbers and take other noise, which recipe.json states, as it states what --drop left out.

    \b
    Examples:
      dmix compose -n 8 --seed 3
      dmix compose --background wall.png --object defects:blowhole@10,20,64,64 --object defects:break@80,40,64,64
      dmix compose -n 100 --redraw 3 --drop
      dmix compose --preset recommended --background wall.png --object defects:blowhole@10,20,64,64
      dmix compose --plugin soft-mask --set feather=2 --listen-from blowhole=0.7
      dmix compose dmix-out/recipe.json --resamples 5 -o more
      dmix compose --resume -o dmix-out
    """
    from dmix_core.folder_lock import FolderLock
    from dmix_core.redraw import Redraw

    asked = {name: options.pop(name) for name in unseen.NAMES}
    if resume and recipe is None and not any(options.values()):
        recipe = _recipe_of(out)
    run = _planned(recipe, options)
    if run.changes:
        differences = "; ".join(run.changes)
        say(f"The images may differ from those that {recipe} was made with: {differences}.", err=True)
    for notice in _notices(run):
        say(f"Note: {notice}", err=True)
    if not resume:
        _warn_of_earlier(out)
    started = time.monotonic()
    watching = _watching(run, strip, strip_at, gif)
    with FolderLock(out, "choose another folder with -o"), run.folder(out, resume=resume) as folder:
        redraw = Redraw(folder, **asked)
        samples, exported = _write(redraw, folder, watching, quiet, as_json)
    drawn = {name: path for name in watching if (path := out / PICTURES[name]).exists()}
    sheet = {"sheet": folder.sheet} if folder.sheet else {}
    files = drawn | sheet | {"recipe": folder.recipe}
    if as_json:
        seconds = round(time.monotonic() - started, 2)
        found = {"exported": exported, "samples": samples, **unseen.record(redraw), "seconds": seconds}
        print_json({"folder": out, **files, **found})
    elif not quiet:
        _report(folder, files)
        for line in unseen.report(redraw, folder):
            say(line)


def _recipe_of(out: Path) -> Path:
    """The recipe of a folder that is to be resumed without other options."""
    from dmix_core.run import RECIPE

    if not (out / RECIPE).is_file():
        raise click.UsageError(
            f"There is no {RECIPE} in {str(out)!r} to go on with. Give the recipe or the options of the run, or the "
            "folder of one with -o."
        )
    return out / RECIPE


def _warn_of_earlier(out: Path) -> None:
    """Print that a folder holds the samples of an earlier run, some of which may stay."""
    from dmix_core.journal import JOURNAL, read_lines

    if count := len(read_lines(out / JOURNAL)):
        say(
            f"{out} holds {count} sample{'s' * (count > 1)} of an earlier run. Files of the same names are replaced, "
            "others stay; with --resume, finished samples of the same recipe are kept.",
            err=True,
        )


# ---- planning -------------------------------------------------------------------------------------------------


def _planned(path: Path | None, options: dict[str, Any]) -> "Run":
    """The run that the options ask for; nothing is computed or written yet."""
    from dmix_core.edits import RecipeEdit
    from dmix_core.errors import RecipeError
    from dmix_core.loading import Loader
    from dmix_core.recipe import Recipe
    from dmix_core.run import Run

    source = repr(str(path)) if path else "these options"
    with wrong_use():
        try:
            loader, given = Loader(), Recipe.read(path) if path else None
            return Run(RecipeEdit.from_data(_fields(options), source).apply(given, loader, source), loader)
        except RecipeError as error:
            raise RecipeError(_with_options(str(error))) from error


def _notices(run: "Run") -> list[str]:
    """What the user may not have meant, in the words of the options."""
    from dmix_core.notices import notices

    together = max(map(len, run.recipe.batches()))
    return [_with_options(notice) for notice in notices(run.composer, together)]


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as the fields of an edit."""
    given = {name: value for name, value in options.items() if value is not None}
    walk = {name: given.pop(name) for name in WALK if name in given}
    samples = {"samples": range(given["samples"])} if "samples" in given else {}
    return given | samples | {"timesteps": walk}


def _with_options(message: str) -> str:
    """An edit's message with options in the place of its fields, which stand in backticks."""
    return re.sub(r"`(\w+)`", lambda match: OPTIONS.get(match[1], match[0]), message)


# ---- composing ------------------------------------------------------------------------------------------------

PICTURES = {"strip": "strip.png", "gif": "denoising.gif"}
"""The pictures of the denoising of the first sample, and their files."""


def _watching(run: "Run", strip: bool, strip_at: Sequence[float] | None, gif: bool) -> "Watching":
    """What draws the denoising of the first sample."""
    from dmix_core.animation import DenoisingGif
    from dmix_core.strip import PERCENTAGES, DenoisingStrip

    strips = {"strip": DenoisingStrip(run.composer, strip_at or PERCENTAGES)} if strip else {}
    return strips | ({"gif": DenoisingGif(run.composer)} if gif else {})


def _write(
    redraw: "Redraw", folder: "RunFolder", watching: "Watching", quiet: bool, keep: bool
) -> tuple[list[dict[str, Any]], list[Path]]:
    """Compose and write every sample; returns the samples' facts and the exporters' files if these are to be kept."""
    from ..progress import progress

    first, *_ = folder.run.recipe.batches()
    samples: list[dict[str, Any]] = []
    exported: list[Path] = []
    with progress("composing", "step", quiet, total=folder.steps) as bar:

        def on_step(step: "Step", batch: Sequence[int]) -> None:
            for name, each in watching.items() if batch == first else ():
                each.add(step)
                if step.s == 0:  # before the first sample is finished, so that a resumed run has them
                    each.write(folder.path / PICTURES[name])
            bar.update()

        def on_redraw(batch: Sequence[int]) -> None:
            for each in watching.values() if batch == first else ():
                each.restart()
            bar.total += folder.run.batch_steps

        for sample in redraw.samples(on_step, on_redraw):
            finished = folder.add(sample)
            if keep:
                samples.append(_facts(sample, folder.pictures.files(sample.number)))
                exported += finished
    return samples, exported + folder.close()


def _facts(sample: "Sample", files: "SampleFiles") -> dict[str, Any]:
    """A sample with its files, for --json."""
    facts = sample.facts()
    objects = [each | {"amodal": path} for each, path in zip(facts["objects"], files.amodal, strict=True)]
    return facts | {"image": files.image, "mask": files.mask, "overlay": files.overlay, "objects": objects}


# ---- printing -------------------------------------------------------------------------------------------------


def _report(folder: "RunFolder", files: dict[str, Path]) -> None:
    count, kept = len(folder.run), len(folder.finished)
    were = f", {kept} of them before," if kept else ""
    images = folder.path / "images"
    say(f"Wrote {count} image{'s' * (count > 1)}{were} to {images}, beside masks, overlays and amodal.")
    for what, path in files.items():
        say(f"{what:>8}  {path}")
    for path in folder.exports.values():
        say(f"exported  {path}")
