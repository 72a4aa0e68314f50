"""`dmix models memorisation`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...data_options import MASKS, READING, SCALE, data_options
from ...failures import wrong_use
from ...field_options import apply
from ...parameters import FOLDER, NEW_FOLDER, SAMPLES, SEED, STEPS, NamesType
from ...printing import json_option, print_json, say

if TYPE_CHECKING:
    from dmix_data.datasets import Crops
    from dmix_data.options import DataOptions
    from dmix_models.denoiser import NetworkDenoiser
    from dmix_models.memorisation import Memorisation


@click.command(short_help="Does a model repeat its training data?")
@click.argument("model", metavar="NAME|FOLDER")
@click.argument("folder", metavar="DIR", type=FOLDER)
@apply([*READING, *MASKS, *SCALE])
@click.option("--classes", type=NamesType(), help="The classes that it was trained on.  [default: its own, or all]")
@click.option("-n", "--samples", type=SAMPLES, default=32, show_default=True, help="Of each class.")
@click.option("--steps", type=STEPS, default=50, show_default=True, help="Denoising steps.")
@click.option("--seed", type=SEED, default=1, show_default=True, help="Of the samples.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, mps.")
@click.option("-o", "--out", type=NEW_FOLDER, help="Where to write figures and pairs.  [default: FOLDER/training]")
@click.option("-q", "--quiet", is_flag=True, help="Print the verdict alone.")
@json_option
def memorisation(
    model: str,
    folder: Path,
    out: Path | None,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Hold samples of a model against the pictures in DIR that it was trained on.

    Each sample's distance to its nearest training crop, over all places, mirrored and turned, is compared with the
    distances of training crops to the nearest crop of another picture. Fresh pictures would be as far away as these
    are from each other; much nearer ones are copies. Give the options that `dmix train` was given.
    """
    from dmix_core.devices import check_device
    from dmix_models import checkpoint
    from dmix_models import memorisation as library
    from dmix_models.page import write_page
    from dmix_models.weights import CheckpointError

    options = data_options(given)
    with wrong_use(CheckpointError):
        found_at, device = checkpoint.find(model), check_device(given.pop("device"))
    out = _out(out, found_at)
    denoiser = checkpoint.load(found_at, device)
    samples, steps, seed = (given.pop(name) for name in ("samples", "steps", "seed"))
    found = library.memorisation(
        denoiser.object_kinds(), _crops(denoiser, folder, options), samples, steps, seed, device
    )
    written = library.write(out, found) if out else []
    if out == found_at / "training":
        written.append(write_page(found_at))
    if as_json:
        print_json({"classes": [library.as_record(each) for each in found], "files": written})
        return
    for each in found:
        _print(each, quiet)
    if written and not quiet:
        say(f"Wrote {', '.join(map(str, written))}")


def _out(out: Path | None, folder: Path) -> Path | None:
    """Where to write: what was asked for, or beside the training's other reports."""
    from dmix_core.files import writable_folder

    if out is None and (folder / "training").is_dir():
        out = folder / "training"
    return writable_folder(out) if out else None


def _crops(denoiser: "NetworkDenoiser", folder: Path, options: "DataOptions") -> "Crops":
    from dmix_data.datasets import background_crops, object_crops

    size, config = denoiser.spec.size, denoiser.config
    if config.role == "background":
        return background_crops(folder, size, options)
    own = {"classes": options.classes or config.learned_classes or None, "pairs": config.pairs}
    return object_crops(folder, size, options.model_copy(update=own))


def _print(found: "Memorisation", quiet: bool) -> None:
    name = f"{found.name}: " if found.name else ""
    if not quiet:
        say(f"{name}{len(found.samples)} samples, {found.crops} training crops in {found.groups} groups\n")
        say(f"  {'':<42} {'samples':>12}  left-out training crops")
        for what, of_samples, left_out in found.table:
            say(f"  {what:<42} {of_samples:>12}  {left_out}")
        say()
    say(f"{name}{found.verdict}")
