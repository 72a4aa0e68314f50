"""`dmix models`: what there is, what it is made of, and the import of public checkpoints."""

import re
from pathlib import Path
from typing import Any

import click

from .commands.train import COUNT, NUMBER
from .data_options import MASKS, READING, SCALE
from .failures import wrong_use
from .field_options import apply
from .parameters import FILE, FOLDER, NEW_FILE, NEW_FOLDER, NamesType

COLUMNS = "{:<16} {:<10} {:>9}  {:>10}  {}"


@click.group(invoke_without_command=True, short_help="List, show and import models, find copies.")
@click.pass_context
def models(ctx: click.Context) -> None:
    """List, show and import models, and find out whether one repeats its training data; alone, list them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_models)


@models.command("list")
def list_models() -> None:
    """List the bundled models."""
    from dmix_models import checkpoint

    click.echo(COLUMNS.format("name", "role", "size", "parameters", "trained on"))
    for name in checkpoint.bundled():
        folder = checkpoint.find(name)
        config, card = checkpoint.read_config(folder), _facts(checkpoint.read_card(folder))
        height, width = config.size
        parameters = card.get("parameters", "?").partition(", ")[0]
        click.echo(COLUMNS.format(name, config.role, f"{width}x{height}", parameters, card.get("training data", "?")))


@models.command()
@click.argument("model", metavar="NAME|FOLDER")
def show(model: str) -> None:
    """Show a model's card and config, and hold its weights against them."""
    from dmix_models import checkpoint
    from dmix_models.weights import CheckpointError

    with wrong_use(CheckpointError):
        folder = checkpoint.find(model)
    checkpoint.load(folder)
    card = checkpoint.read_card(folder)
    click.echo(card or "No model card.")
    click.echo(checkpoint.read_config(folder).model_dump_json(indent=2))
    click.echo(f"\nThe weights in {folder} fit the config{' and the checksum in the card' * bool(card)}.")


@models.command()
@click.argument("model", metavar="NAME|FOLDER")
@click.option("-n", "--samples", type=click.IntRange(min=1), default=8, show_default=True, help="Of each class.")
@click.option("--steps", type=click.IntRange(min=1), default=250, show_default=True, help="Denoising steps.")
@click.option("--seed", type=int, default=0, show_default=True, help="All noise derives from it.")
@click.option("--beside", metavar="DIR", type=FOLDER, help="Show real crops above: of the data that it learned from.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, mps.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("-o", "--out", type=NEW_FILE, default="samples.png", show_default=True, help="The sheet.")
def samples(
    model: str, samples: int, steps: int, seed: int, beside: Path | None, device: str, dtype: str, out: Path
) -> None:
    """Paint samples of one model alone, a row for each class, beside their masks."""
    from dmix_models import checkpoint, preview, training_setup
    from dmix_models.weights import CheckpointError

    with wrong_use(CheckpointError):
        denoiser = checkpoint.load(model, device, dtype)  # type: ignore[arg-type]
    real = training_setup.real_crops(denoiser, beside, samples) if beside else {}
    painted = {
        name or denoiser.config.name: preview.sample(kind, samples, steps, seed, device)
        for name, kind in denoiser.kinds().items()
    }
    rows = real | painted
    click.echo(f"Wrote {preview.write_rows(out, rows, denoiser.spec.image_channels)}")


@models.command("import")
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
    click.echo(f"Wrote {importers.import_guided(file, config, out, store_dtype=store_dtype)}")  # type: ignore[arg-type]


@models.command(short_help="Does a model repeat its training data?")
@click.argument("model", metavar="NAME|FOLDER")
@click.argument("folder", metavar="DIR", type=FOLDER)
@apply([*READING, *MASKS, *SCALE])
@click.option("--classes", type=NamesType(), help="The classes that it was trained on.  [default: its own, or all]")
@click.option("-n", "--samples", type=COUNT, default=32, show_default=True, help="Of each class.")
@click.option("--steps", type=COUNT, default=50, show_default=True, help="Denoising steps.")
@click.option("--seed", type=NUMBER, default=1, show_default=True, help="Of the samples.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, mps.")
@click.option("-o", "--out", type=NEW_FOLDER, help="Where to write figures and pairs.  [default: FOLDER/training]")
@click.option("-q", "--quiet", is_flag=True, help="Say the verdict alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def memorisation(**given: Any) -> None:
    """Hold samples of a model against the pictures in DIR that it was trained on.

    Each sample's distance to its nearest training crop, over all places, mirrored and turned, is compared with the
    distances of training crops to the nearest crop of another picture. Fresh pictures would be as far away as these
    are from each other; much nearer ones are copies. Give the options that `dmix train` was given.
    """
    from .memorising import run

    run(**given)


def _facts(card: str) -> dict[str, str]:
    return dict(re.findall(r"^- ([^:\n]+): (.+)$", card, flags=re.MULTILINE))
