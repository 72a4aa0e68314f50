"""Compose the two bundled models: a magnetic tile with a blowhole, the blowhole's mask and its box."""

from pathlib import Path

from dmix_core import BoxRegion, Composer
from dmix_core.images import index_picture, write_png
from dmix_models import load


def main(out: Path, steps: int = 250) -> None:
    tile = BoxRegion(load("tiles"))
    blowhole = BoxRegion(load("blowhole"), box=(16, 16, 32, 32), name="blowhole", z=1)
    composition = Composer([tile, blowhole], steps=steps).compose(samples=4, seed=0)
    for number, box in enumerate(composition.regions[1].boxes):
        write_png(out / f"{number}.png", composition.image[number])
        write_png(out / f"{number}-mask.png", index_picture(composition.index[number]))
        print(f"{number}.png: the blowhole is in", box)


if __name__ == "__main__":
    folder = Path("two-models")
    folder.mkdir(exist_ok=True)
    main(folder)
