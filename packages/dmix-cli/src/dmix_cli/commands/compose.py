"""`dmix compose`: its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from .parameters import (
    FILE,
    NEW_FOLDER,
    ModelType,
    Object,
    ObjectType,
    PercentagesType,
    Setting,
    SettingType,
    ShareType,
    SizeType,
    WrapType,
)


@dataclass(frozen=True)
class Options:
    """What was typed; None and () where nothing was, so that a recipe or the defaults decide."""

    recipe: Path | None
    background: str | None
    objects: tuple[Object, ...]
    plugins: tuple[str, ...]
    settings: tuple[Setting, ...]
    wrap: tuple[tuple[str, str], ...]
    listen_from: tuple[tuple[str, float], ...]
    size: tuple[int, int] | None
    steps: int | None
    jump_length: int | None
    resamples: int | None
    merge_from: float | None
    others: str | None
    seams: str | None
    seed: int | None
    samples: int | None
    batch_size: int | None
    device: str | None
    dtype: str | None
    out: Path
    strip: bool
    strip_at: tuple[float, ...] | None
    quiet: bool
    json: bool


@click.command(short_help="Compose images from models, with masks.")
@click.argument("recipe", required=False, type=FILE)
@click.option("--background", type=ModelType(), help="What fills the canvas.  [default: tiles]")
@click.option(
    "--object",
    "objects",
    multiple=True,
    type=ObjectType(),
    help="An object, above those given before it; without a box in the centre, at its own size.  [default: blowhole]",
)
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="A merge rule, schedule, stepper or exporter.")
@click.option(
    "--wrap", multiple=True, type=WrapType(), help="A wrapper around a region's model; the first given is innermost."
)
@click.option(
    "--set", "settings", multiple=True, type=SettingType(), help="A setting of a plugin in use or of a region's model."
)
@click.option(
    "--listen-from",
    multiple=True,
    type=ShareType(),
    help="The fraction of the denoising from which this region takes in the others.",
)
@click.option("--size", type=SizeType(), help="The canvas.  [default: the background's own size]")
@click.option("--steps", type=int, help="T, denoising steps.  [default: 250]")
@click.option("--jump-length", type=int, help="How many levels each resampling climbs back.  [default: 10]")
@click.option("--resamples", type=int, help="How often to climb back and come down again.  [default: 2]")
@click.option(
    "--merge-from", type=float, help="The fraction of the denoising from which the models merge.  [default: 0.9]"
)
@click.option(
    "--others", type=click.Choice(["clean", "noisy"]), help="Which tensor of the others is noised.  [default: clean]"
)
@click.option(
    "--seams",
    type=click.Choice(["keep-variance", "literal"]),
    help="How noise is mixed at soft seams.  [default: keep-variance]",
)
@click.option("--seed", type=int, help="All noise derives from it.  [default: 0]")
@click.option("-n", "--samples", type=click.IntRange(min=1), help="How many images.  [default: 1]")
@click.option("--batch-size", type=int, help="How many run together.  [default: 8]")
@click.option("--device", help="Where to compute: cpu, cuda, mps.  [default: cpu]")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), help="Of the networks.  [default: float32]")
@click.option("-o", "--out", type=NEW_FOLDER, default="dmix-out", show_default=True, help="The folder to write into.")
@click.option("--strip/--no-strip", default=True, help="Draw how the first sample came about.  [default: strip]")
@click.option(
    "--strip-at",
    type=PercentagesType(),
    help="The percentages of the denoising that the strip shows.  [default: 0,50,80,89,90,95,100]",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@click.option("--json", is_flag=True, help="One JSON object on stdout, with what was written.")
def compose(**given: Any) -> None:
    """Compose images; without arguments, the bundled magnetic tiles with blowholes.

    MODEL is the name of a bundled model (see `dmix models`), a checkpoint folder, or NAME or NAME:ARGUMENT of a plugin;
    for a model of several classes FOLDER:CLASS. Each object's region is called after the last part of what was typed.
    IMAGE is a picture: under the hard mask, pixels that no object owns come out as they are. As an object, a
    picture owns what is opaque in it.

    RECIPE is a file as every run writes it, and makes the same images again; options go before what it says. Where
    versions or weights are other ones than it was made with, a line on stderr names them.

    Into the output folder go images/, masks/ (each pixel holds the number of the region that owns it, 0 for the
    background), overlays/, amodal/ (each object's mask as if nothing covered it), strip.png, sheet.png for several
    samples, and recipe.json. Files of the same names are replaced.

    \b
    Examples:
      dmix compose -n 8 --seed 3
      dmix compose --background wall.png --object blowhole@10,20,32,32 --object blowhole@60,40,48,48
      dmix compose --plugin soft-mask --set feather=2 --listen-from blowhole=0.7
      dmix compose dmix-out/recipe.json --resamples 5 -o more
    """
    from .composing import run

    run(Options(**given))
