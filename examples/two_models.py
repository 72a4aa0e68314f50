"""Compose the two bundled models: a magnetic tile with a blowhole, the blowhole's mask and its box."""

from pathlib import Path

from dmix_core import from_models


def main(out: Path, steps: int = 250) -> None:
    composer = from_models("tiles", objects=[("defects:blowhole", (0, 0, 64, 64))], steps=steps)
    composition = composer.compose(samples=4, seed=0)
    for number, box in enumerate(composition.regions[1].boxes):
        composition.images[number].save(out / f"{number}.png")
        composition.masks[number].save(out / f"{number}-mask.png")
        print(f"{number}.png: the blowhole is in", box)


if __name__ == "__main__":
    folder = Path("two-models")
    folder.mkdir(exist_ok=True)
    main(folder)
