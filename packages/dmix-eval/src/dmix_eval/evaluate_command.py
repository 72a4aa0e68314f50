"""`dmix evaluate`: is a generated set good?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmix_cli.failures import wrong_use
from dmix_cli.parameters import FILE, FOLDER, NEW_FOLDER, Count, NamesType
from dmix_cli.printing import json_option, print_json, say

if TYPE_CHECKING:
    from .evaluation import Evaluation
    from .features import OnnxFeatures


@click.command(short_help="Is a generated set good?")
@click.argument("folder", metavar="SET", type=FOLDER)
@click.option("--real", type=FOLDER, required=True, help="Real pictures: defects with masks, and normal ones.")
@click.option("--classes", type=NamesType(), help="The objects that count.  [default: all]")
@click.option("--side", type=Count(16, 512), default=64, show_default=True, help="Of the windows that show an object.")
@click.option("--features", type=FILE, metavar="FILE.onnx", help="A network of your own, for KID on its features, too.")
@click.option("--features-sha256", metavar="SHA256", help="What the checksum of that file must be.")
@click.option(
    "--against",
    type=FOLDER,
    multiple=True,
    metavar="SET",
    help="Another set to measure beside it, such as one by the paper's settings; may be repeated.",
)
@click.option("-o", "--out", type=NEW_FOLDER, help="The folder to write into.  [default: SET]")
@click.option("-q", "--quiet", is_flag=True, help="Print no table.")
@json_option
def evaluate(
    folder: Path,
    real: Path,
    classes: list[str] | None,
    side: int,
    against: tuple[Path, ...],
    out: Path | None,
    quiet: bool,
    as_json: bool,
    **own: Any,
) -> None:
    """Measure a generated set against real pictures, with intervals, beside what real pictures have among themselves.

    SET is a folder of `dmix generate` or `dmix compose`. Is each object there, is its mask true, does it sit in the
    scene, can it be told from real ones, is it new and varied? Into the output folder go evaluation.json and
    evaluation.html, which shows best, median and worst objects by each measure.

    Real pictures that no model has learned from make all but the last question fair; for that one give what the models
    have learned from.

    A network for --features takes float32 (B, C, H, W) in [0, 1], one grey channel or three equal ones, and gives
    float32 (B, F), or (B, F, h, w), whose mean over places is taken; another range or mean belongs into its graph.
    Where it states H and W, windows are resized to them. It needs ONNX Runtime: pip install 'dmix-eval[features]'.

    \b
    Examples:
      dmix evaluate set --real photos/validation --classes blowhole
      dmix evaluate set --real photos/validation --features resnet.onnx
      dmix evaluate set --real photos/validation --against paper-set
    """
    from dmix_core.files import writable_folder

    from . import evaluation
    from .features import FeaturesError

    with wrong_use(FeaturesError):
        network = _network(side, **own)
        out = writable_folder(out or folder)
        found = evaluation.evaluate(folder, real, tuple(classes or ()), side, network, against)
    files = _write(found, out)
    if as_json:
        print_json({**found.record(), "files": files})
    elif not quiet:
        _print(evaluation.rows(found))
        if found.novelty:
            say(f"\n{found.novelty.verdict}")
        say(f"\nWrote {', '.join(map(str, files))}")


def _network(side: int, features: Path | None, features_sha256: str | None) -> "OnnxFeatures | None":
    from .features import OnnxFeatures

    if features is None:
        if features_sha256 is not None:
            raise click.UsageError(
                "--features-sha256 is the checksum of a file; expected --features FILE.onnx beside it."
            )
        return None
    return OnnxFeatures(features, features_sha256, side)


def _write(found: "Evaluation", out: Path) -> list[Path]:
    import json

    from dmix_core.files import write_atomically

    from .evaluation_page import evaluation_page

    text = f"{json.dumps(found.record(), indent=1)}\n"
    return [
        write_atomically(out / "evaluation.json", text.encode()),
        write_atomically(out / "evaluation.html", evaluation_page(found).encode()),
    ]


def _print(table: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
