"""`dmix data inspect`: what a folder holds, and what to run next."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from dmix_data.options import OBJECTS, DataOptions

from ...data_options import data_options
from ...field_options import apply, options_of
from ...parameters import FOLDER, NEW_FILE
from ...printing import json_option, print_json, say
from ...progress import progress
from .timing import as_line, timings

SHOWN = 10  # files of one kind in the text; --json has them all


@click.command(short_help="What a folder holds, and what to run next.")
@click.argument("folder", metavar="DIR", type=FOLDER)
@apply(options_of(DataOptions, "layout", *OBJECTS, layout={"help": "How DIR is laid out.  [default: found out]"}))
@click.option("-o", "--out", type=NEW_FILE, help="Draw objects of every class, with their masks, into this PNG.")
@click.option(
    "--timing/--no-timing",
    default=True,
    help="Measure some steps of the trainings that are advised, for their time and memory here.  [default: timing]",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@json_option
def inspect(folder: Path, out: Path | None, timing: bool, quiet: bool, as_json: bool, **given: Any) -> None:
    """Look at every picture and mask in DIR.

    Prints the layout, counts, sizes and modes, how large the objects are beside models, how far the masks depend on the
    rule that reads them, what is broken, missing, empty or twice there, and what to run next. Nothing is changed.
    """
    from dmix_data import inspection

    options = data_options(given)
    with progress("looking", "picture", quiet or as_json) as bar:
        found = inspection.inspect(folder, options.layout, bar.update, options)
    record = found.record()
    if out and found.samples:
        from dmix_core.images import write_png
        from dmix_data.sheet import sheet

        record["sheet"] = str(write_png(out, sheet(found.samples)))
    if timing:
        with progress("timing", "training", quiet or as_json) as bar:
            record["takes"] = timings(record["next"], bar.update)
    if as_json:
        print_json(record)
    else:
        say("\n".join(lines(record)))


def lines(record: dict[str, Any]) -> Iterator[str]:
    """The lines of text about what a folder holds."""
    yield f"{record['folder']}: {record['known_from']} (layout {record['layout']}: {record['evidence']})"
    counts = f"{record['pictures']}, {record['with_mask']} with masks, {record['normal']} normal"
    yield f"pictures   {counts}; {_counts(record['parts'])}"
    if record["groups"] < record["pictures"]:
        yield f"groups     {record['groups']}; pictures of one are not to be divided between training and test"
    yield f"sizes      {_sizes(record['sizes'])}"
    yield f"modes      {_counts(record['modes'])}"
    yield f"mask rule  {record['mask_rule']}"
    for name, facts in record["classes"].items():
        yield from _class_lines(name, facts)
    yield from _listed("problems", [f"{each['file']}: {each['why']}" for each in record["problems"]])
    yield from _listed("same pixels", [" = ".join(each) for each in record["duplicates"]])
    yield from _listed("warnings", record["warnings"], len(record["warnings"]))
    if "sheet" in record:
        yield f"drawn      {record['sheet']}"
    yield from _listed("run next", record["next"])
    yield from _listed("which takes, without previews, about", [as_line(each) for each in record.get("takes", ())])


def _class_lines(name: str, facts: dict[str, Any]) -> Iterator[str]:
    yield f"class {name}: {facts['objects']} objects in {facts['pictures']} pictures"
    if "longer_side" in facts:
        yield f"  longer side  {_counts(facts['longer_side'], ' ')} pixels"
        fits = {f"{side}x{side}": f"{share:.0%}" for side, share in facts["share_that_fits"].items()}
        yield f"  fit a model  {_counts(fits, ' ')}"
        yield f"  aspect       {_counts(facts['aspect'], ' ')}, width over height"
        yield f"  of these     {facts['truncated']} truncated, {facts['occluded']} occluded, {facts['narrow']} narrow"
    if "left_out" in facts:
        yield f"  left out     {', '.join(f'{count} {why}' for why, count in facts['left_out'].items())}"
    if "mask_values" in facts:
        yield f"  mask values  {_counts(facts['mask_values'])}"
    if facts.get("area_under_other_rules"):
        changes = {rule: f"{change:+.1%}" for rule, change in facts["area_under_other_rules"].items()}
        yield f"  area under   {_counts(changes, ' ')}"


def _listed(title: str, lines: Sequence[str], shown: int = SHOWN) -> Iterator[str]:
    if lines:
        yield f"{title}:"
        yield from (f"  {line}" for line in lines[:shown])
    if len(lines) > shown:
        yield f"  ... {len(lines)} in all"


def _counts(counts: dict[str, Any], between: str = ": ") -> str:
    return ", ".join(f"{key}{between}{value}" for key, value in counts.items())


def _sizes(counts: dict[str, int]) -> str:
    if len(counts) <= SHOWN:
        return _counts(counts)
    widths, heights = zip(*(map(int, size.split("x")) for size in counts), strict=True)
    return f"{len(counts)} different ones, {min(widths)}..{max(widths)} wide and {min(heights)}..{max(heights)} high"
