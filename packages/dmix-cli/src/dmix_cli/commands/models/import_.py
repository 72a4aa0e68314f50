"""`dmix models import`."""

from pathlib import Path

import click

from ...failures import wrong_use
from ...parameters import FILE, NEW_FOLDER
from ...printing import say


@click.command("import")
@click.argument("file", type=FILE)
@click.option(
    "--preset", required=True, help="The published file's name without .pt, such as 256x256_diffusion_uncond."
)
@click.option(
    "--store-dtype",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    default="float32",
    show_default=True,
    help="How the weights are stored.",
)
@click.option("-o", "--out", type=NEW_FOLDER, required=True, help="The checkpoint's folder.")
def import_model(file: Path, preset: str, store_dtype: str, out: Path) -> None:
    """Import one of guided-diffusion's public .pt checkpoints."""
    from dmix_models import importers
    from dmix_models.weights import CheckpointError

    with wrong_use(CheckpointError):
        config = importers.find_preset(preset)
    say(f"Wrote {importers.import_guided(file, config, out, store_dtype=store_dtype)}")  # type: ignore[arg-type]
