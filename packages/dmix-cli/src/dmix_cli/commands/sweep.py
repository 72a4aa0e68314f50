"""`dmix sweep`: one composition under several settings, as one labelled sheet."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..failures import wrong_use
from ..field_options import Decorator, apply
from ..paper import PaperCommand
from ..parameters import (
    FILE,
    NEW_FOLDER,
    SAMPLES,
    Count,
    ModelType,
    ObjectType,
    SizeType,
    SweptType,
    ValuesType,
)
from ..printing import json_option, print_json, say

if TYPE_CHECKING:
    from dmix_core.sweep import Sweep

SWEPT: dict[str, tuple[str, str]] = {
    "steps": ("--steps", "T, denoising steps."),
    "jump_length": ("--jump-length", "How many levels each resampling climbs back."),
    "resamples": ("--resamples", "How often to climb back and come down again."),
    "merge_from": ("--merge-from", "The fraction of the denoising from which the models merge."),
    "merge": ("--merge", "Merge rules, by name."),
}
"""What has an option of its own to be swept; each takes a list or a range."""
AXES: list[Decorator] = [
    *(click.option(option, name, type=ValuesType(), help=about) for name, (option, about) in SWEPT.items()),
    click.option(
        "--listen-from",
        "listening",
        multiple=True,
        type=SweptType("listen_from."),
        help="REGION=VALUES: the fractions from which this region takes in the others.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        type=SweptType(),
        help="[PLUGIN.|REGION.]KEY=VALUES: a setting of a plugin in use or of a region's model.",
    ),
]
BASE: list[Decorator] = [
    click.option("--background", type=ModelType(), help="What fills the canvas.  [default: tiles]"),
    click.option(
        "--object", "objects", multiple=True, type=ObjectType(), help="An object.  [default: defects:blowhole]"
    ),
    click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="A schedule, stepper or merge rule."),
    click.option("--size", type=SizeType(), help="The canvas.  [default: the background's own size]"),
    click.option("--seed", type=Count(None, "HIGHEST_SEED"), help="All noise derives from it.  [default: 0]"),
    click.option("-n", "--samples", type=SAMPLES, help="How many images in each cell.  [default: 1]"),
    click.option("--batch-size", type=Count(None, "LARGEST_BATCH"), help="How many run together.  [default: 8]"),
    click.option("--device", help="Where to compute: cpu, cuda, mps.  [default: cpu]"),
    click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), help="Of the networks.  [default: float32]"),
]
FIELDS = {"background", "objects", "plugins", "size", "seed", "samples", "batch_size", "device", "dtype"}


@click.command(cls=PaperCommand, short_help="Compose under several settings, as one sheet.")
@click.argument("recipe", required=False, type=FILE)
@apply([*AXES, *BASE])
@click.option("-o", "--out", type=NEW_FOLDER, default="dmix-sweep", show_default=True, help="The folder to write into.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@json_option
def sweep(recipe: Path | None, out: Path, quiet: bool, as_json: bool, **given: Any) -> None:
    """Compose a recipe, or the bundled pair, under every combination of the values given, from the same noise.

    VALUES are a list, such as 0,2,5, or a range FIRST:LAST:STEP with both ends, such as 0.8:0.95:0.05. The last option
    swept, in the order of this help, makes the columns, all others the rows; what has one value stands in the title.

    Into the output folder go sheet.png, whose cells show the first image and the figures of all, and sweep.json, which
    has one record for each cell with its figures and the recipe that makes it again. Figures are means over the objects
    of all images with their standard deviations: contrast in grey levels, edge and grain relative to the surroundings,
    and seconds for each image.

    \b
    Examples:
      dmix sweep --resamples 0,2,5 --merge-from 0.8:0.95:0.05 -n 4
      dmix sweep --merge hard-mask,soft-mask --listen-from blowhole=0.5,0.7,0.9
      dmix sweep --set threshold=0.3,0.5,0.7
    """
    planned = _planned(recipe, given)
    report = _write(planned, out, quiet)
    if as_json:
        print_json(report)
    elif not quiet:
        say(f"Swept {len(planned)} cells.\n   sheet  {report['sheet']}\n    data  {report['data']}")


def _planned(path: Path | None, given: dict[str, Any]) -> "Sweep":
    """The sweep that the options ask for; nothing is computed or written yet."""
    from dmix_core.edits import RecipeEdit
    from dmix_core.loading import Loader
    from dmix_core.recipe import Recipe
    from dmix_core.sweep import Axis, Sweep

    axes = [Axis(name, given[name]) for name in SWEPT if given[name] is not None]
    axes += [Axis(name, values) for name, values in (*given["listening"], *given["settings"])]
    fields = {name: value for name, value in given.items() if name in FIELDS and value is not None}
    if "samples" in fields:
        fields["samples"] = range(fields["samples"])
    source = repr(str(path)) if path else "these options"
    with wrong_use():
        loader = Loader()
        base = RecipeEdit.from_data(fields, source).apply(Recipe.read(path) if path else None, loader, source)
        return Sweep(base, axes, loader)


def _write(planned: "Sweep", out: Path, quiet: bool) -> dict[str, Any]:
    """Compose all cells; write the sheet and the figures, and return these with the files' paths."""
    import json

    from dmix_core.files import remove_temporaries, writable_folder, write_atomically
    from dmix_core.sweep_sheet import SweepSheet

    from ..progress import progress

    folder = writable_folder(out)
    remove_temporaries(folder)  # of a killed sweep
    sheet = SweepSheet(planned.axes, _title(planned))
    cells = []
    with progress("sweeping", "step", quiet, total=planned.steps) as bar:
        for cell in planned.cells(lambda step, batch: bar.update()):
            sheet.add(cell)
            cells.append(cell.record())
    axes = [axis._asdict() for axis in planned.axes]
    text = json.dumps({"axes": axes, "cells": cells}, indent=2) + "\n"
    data = write_atomically(folder / "sweep.json", text.encode())
    return {"sheet": sheet.write(folder / "sheet.png"), "data": data, "axes": axes, "cells": cells}


def _title(planned: "Sweep") -> str:
    """What is the same in all cells, in a line."""
    _, run = planned.runs[0]
    regions = " + ".join(region.name for region in run.recipe.regions)
    return f"{regions}, seed {run.recipe.seed}; figures over {len(run)} image{'s' * (len(run) > 1)} from the same noise"
