"""`dmix models samples`."""

from pathlib import Path

import click

from ...failures import wrong_use
from ...parameters import FOLDER, NEW_FILE, SAMPLES, SEED, STEPS
from ...printing import say


@click.command()
@click.argument("model", metavar="NAME|FOLDER")
@click.option("-n", "--samples", type=SAMPLES, default=8, show_default=True, help="Of each class.")
@click.option("--steps", type=STEPS, default=250, show_default=True, help="Denoising steps.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="All noise derives from it.")
@click.option("--beside", metavar="DIR", type=FOLDER, help="Show real crops above: of the data that it learned from.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, mps.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("-o", "--out", type=NEW_FILE, default="samples.png", show_default=True, help="The sheet.")
def samples(
    model: str, samples: int, steps: int, seed: int, beside: Path | None, device: str, dtype: str, out: Path
) -> None:
    """Paint samples of one model alone, a row for each class, beside their masks."""
    from dmix_core.devices import check_device
    from dmix_models import checkpoint, preview, training_setup
    from dmix_models.weights import CheckpointError

    with wrong_use(CheckpointError):
        denoiser = checkpoint.load(model, check_device(device), dtype)  # type: ignore[arg-type]
    real = training_setup.real_crops(denoiser, beside, samples) if beside else {}
    painted = {
        name or denoiser.config.name: preview.sample(kind, samples, steps, seed, device)
        for name, kind in denoiser.kinds().items()
    }
    rows = real | painted
    say(f"Wrote {preview.write_rows(out, rows, denoiser.spec.image_channels)}")
