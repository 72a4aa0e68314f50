"""`dmix models memorisation`: its work."""

import json
from pathlib import Path
from typing import Any

import click

from dmix_core.files import writable_folder
from dmix_data.batches import ANY
from dmix_data.datasets import background_crops, object_crops
from dmix_data.options import DataOptions
from dmix_models import checkpoint
from dmix_models.denoiser import UNetDenoiser
from dmix_models.memorisation import Memorisation, as_record, memorisation, write
from dmix_models.page import write_page
from dmix_models.weights import CheckpointError

from .data_options import data_options
from .failures import wrong_use


def run(
    model: str,
    folder: Path,
    out: Path | None,
    samples: int,
    steps: int,
    seed: int,
    device: str,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Compare a model's samples with its training crops; say what was found, and write it down."""
    options = data_options(given)
    with wrong_use(CheckpointError):
        found_at = checkpoint.find(model)
    out = _out(out, found_at)
    denoiser = checkpoint.load(found_at, device)
    crops = _crops(denoiser, folder, options)
    found = memorisation(denoiser.kinds(), crops, samples, steps, seed, device)
    written = write(out, found) if out else []
    if out == found_at / "training":
        written.append(write_page(found_at))
    if as_json:
        record = {"classes": [as_record(each) for each in found], "files": list(map(str, written))}
        click.echo(json.dumps(record, indent=2))
        return
    for each in found:
        _tell(each, quiet)
    if written and not quiet:
        click.echo(f"Wrote {', '.join(map(str, written))}")


def _out(out: Path | None, folder: Path) -> Path | None:
    """Where to write: what was asked for, or beside the training's other reports."""
    if out is None and (folder / "training").is_dir():
        out = folder / "training"
    return writable_folder(out) if out else None


def _crops(denoiser: UNetDenoiser, folder: Path, options: DataOptions) -> Any:
    size = denoiser.spec.size
    if denoiser.config.role == "background":
        return background_crops(folder, size, options)
    own = tuple(name for name in denoiser.config.classes if name != ANY)
    classes = options.classes or own or None
    return object_crops(folder, size, options.model_copy(update={"classes": classes}))


def _tell(found: Memorisation, quiet: bool) -> None:
    name = f"{found.name}: " if found.name else ""
    if not quiet:
        click.echo(f"{name}{len(found.samples)} samples, {found.crops} training crops in {found.groups} groups\n")
        click.echo(f"  {'':<42} {'samples':>12}  left-out training crops")
        for what, of_samples, left_out in found.table:
            click.echo(f"  {what:<42} {of_samples:>12}  {left_out}")
        click.echo()
    click.echo(f"{name}{found.verdict}")
