"""`dmix data crops`: each object of a data set as a file with its mask in alpha."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmix_data.options import OBJECTS, CutoutOptions, DataOptions

from ...data_options import data_options
from ...field_options import apply, options_of, taken
from ...parameters import FOLDER, NEW_FOLDER, SizeType
from ...printing import json_option, print_json, say
from ...progress import progress

if TYPE_CHECKING:
    from dmix_data.cutouts import Cut

CUTOUT = options_of(
    CutoutOptions,
    *("size", "scale", "context", "padding", "max_padding", "hold_out"),
    size={"type": SizeType(), "help": "The size of the crops.  [default: 32x32]", "show_default": False},
)
DATA = options_of(DataOptions, "layout", "every", "mask_rule", "mask_suffix", *OBJECTS, "on_error")


@click.command(short_help="Cut objects out, each with its mask.")
@click.argument("folder", metavar="DIR", type=FOLDER)
@apply(CUTOUT)
@click.option("--class", "classes", multiple=True, metavar="NAME", help="Only this class; may be repeated.")
@apply(DATA)
@apply(options_of(CutoutOptions, "seed"))
@click.option("-o", "--out", type=NEW_FOLDER, required=True, help="The folder of crops.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@json_option
def crops(folder: Path, out: Path, quiet: bool, as_json: bool, **given: Any) -> None:
    """Cut every object in DIR out as a PNG whose alpha channel is the object's mask.

    OUT/crops.jsonl has the origin of each crop: picture, checksum, box, scale, padding, class, mask rule and part. A
    crop holds its object whole and cuts no other. `dmix train object OUT` learns from the training part.
    """
    from dmix_data.cutouts import cut_objects

    cutout = taken(CutoutOptions, given)
    options = data_options(given)
    with progress("cutting", "picture", quiet or as_json) as bar:
        cut = cut_objects(folder, out, cutout, options, seen=bar.update)
    if as_json:
        print_json(_record(cut, out))
    elif not quiet:
        _show(cut, out)


def _record(cut: "Cut", out: Path) -> dict[str, Any]:
    from dmix_data.manifest import MANIFEST

    return {
        "crops": len(cut.entries),
        "manifest": str(out / MANIFEST),
        "classes": _counted(entry.class_name for entry in cut.entries),
        "parts": _counted(entry.split for entry in cut.entries),
        "padded": sum(entry.padding > 0 for entry in cut.entries),
        "left_out": cut.left_out,
        "failed": [{"file": str(path), "why": why} for path, why in cut.failed],
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _show(cut: "Cut", out: Path) -> None:
    record = _record(cut, out)
    counts = (f"{count} {name}" for what in ("classes", "parts") for name, count in record[what].items())
    say(f"Cut {record['crops']} objects into {out}: {', '.join(counts)}; {record['padded']} with padding.")
    for why, count in cut.left_out.items():
        say(f"Left out: {count} {why}")
    for path, why in cut.failed:
        say(f"Left out {path}: {why}")
