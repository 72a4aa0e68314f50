"""Train an object model on pictures with masks, and compose with it. Here: drawn discs, and far too few steps."""

from pathlib import Path

import numpy as np
from PIL import Image

from dmix_core import BoxRegion, Composer
from dmix_core.images import write_png
from dmix_models import load
from dmix_models.trainer import TrainConfig
from dmix_models.training_setup import train_object


def draw(folder: Path, count: int = 12) -> Path:
    """Pictures X.png with masks X_mask.png, as a folder of your own may have them."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:48, :48]
    for number in range(count):
        disc = (y - 20 - number % 4) ** 2 + (x - 24) ** 2 < (5 + number % 3) ** 2
        Image.fromarray((90 + 5 * number + 80 * disc).astype(np.uint8)).save(folder / f"{number}.png")
        Image.fromarray((255 * disc).astype(np.uint8)).save(folder / f"{number}_mask.png")
    return folder


def main(out: Path, training_steps: int = 300, steps: int = 250) -> None:
    pictures, model = draw(out / "discs"), out / "disc"
    config = TrainConfig(
        steps=training_steps, batch_size=8, preview_samples=2, preview_steps=10, memorisation_samples=0
    )
    for step in train_object(pictures, model, config, size=(16, 16)):
        print(f"step {step.step}: loss {step.loss:.3f}", end="\r")
    disc = BoxRegion(load(model), box=(24, 24, 16, 16), name="disc", z=1)
    write_png(out / "tile-with-disc.png", Composer([BoxRegion(load("tiles")), disc], steps=steps).compose().image[0])


if __name__ == "__main__":
    main(Path("discs"))
