"""`dmix compose`: its work."""

import time
from pathlib import Path
from typing import Any

import click

from dmix_core.images import write_png
from dmix_core.pictures import PERCENTAGES, DenoisingStrip

from .compose import Options
from .draft import Models, Plan, plan
from .failures import wrong_use
from .output import Output
from .printing import print_json
from .progress import progress


def run(options: Options) -> None:
    """Compose what was asked for and write it."""
    with wrong_use():
        planned = plan(options, Models.load())
    output = Output(options.out, planned.recipe, planned.composer, [*planned.exporters])
    if planned.changes:
        told = "; ".join(planned.changes)
        click.echo(f"The images may differ from those that {options.recipe} was made with: {told}.", err=True)
    started = time.monotonic()
    written: dict[str, Any] = {"folder": options.out, "recipe": planned.recipe.write(options.out / "recipe.json")}
    written |= _compose(planned, output, options)
    if len(output.records) > 1:
        written["sheet"] = output.sheet()
    written |= {"exported": output.export(planned.exporters.values()), "samples": output.records}
    _report(written | {"seconds": round(time.monotonic() - started, 2)}, options)


def _compose(planned: Plan, output: Output, options: Options) -> dict[str, Path]:
    """Run every batch and write its samples; the strip shows the first of the first batch."""
    recipe, composer = planned.recipe, planned.composer
    strip = DenoisingStrip(composer, options.strip_at or PERCENTAGES) if options.strip else None
    first, *others = recipe.batches()
    steps = (len(composer.walk) - 1) * (1 + len(others))
    with progress("composing", "step", options.quiet, total=steps) as bar:
        for batch in (first, *others):
            for step in composer.steps(batch, recipe.seed):
                if strip and batch is first:
                    strip.add(step)
                bar.update()
            output.add(batch, composer.finish(step))
    return {"strip": write_png(options.out / "strip.png", strip.picture())} if strip else {}


def _report(written: dict[str, Any], options: Options) -> None:
    if options.json:
        print_json(written)
    elif not options.quiet:
        count, folder = len(written["samples"]), written["folder"]
        click.echo(f"Wrote {count} image{'s' * (count > 1)} to {folder / 'images'}, beside masks, overlays and amodal.")
        for what in ("strip", "sheet", "recipe"):
            if what in written:
                click.echo(f"{what:>8}  {written[what]}")
        for path in written["exported"]:
            click.echo(f"exported  {path}")
