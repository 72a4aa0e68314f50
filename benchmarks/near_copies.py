"""How often `dmix detect` finds altered copies of composites by their perceptual hash, and how often it is wrong.

    python benchmarks/near_copies.py [-n 96] [--real FOLDER]

The composites are of the bundled pair (64x64); with FOLDER, which holds the Magnetic Tile Defect set, as many are made
onto photographs of tiles without defects. Hits count copies of which the right composite is nearest; false alarms count
photographs of other tiles that are near some composite.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dmix_core import from_models
from dmix_core.images import to_picture
from dmix_data.layouts import find, listing
from dmix_data.phash import as_numbers, distances, phash

BITS = (4, 6, 8, 10, 12)
STEPS = 50
Alteration = Callable[[Image.Image], Image.Image]


def encoded(quality: int) -> Alteration:
    def alter(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return alter


def scaled(factor: float) -> Alteration:
    return lambda picture: picture.resize((round(picture.width * factor), round(picture.height * factor)))


def cropped(share: float) -> Alteration:
    """Without so large a share of each side, half of it at either end."""

    def alter(picture: Image.Image) -> Image.Image:
        x, y = (round(side * share / 2) for side in picture.size)
        return picture.crop((x, y, picture.width - x, picture.height - y))

    return alter


ALTERATIONS: dict[str, Alteration] = {
    "as it is": lambda picture: picture,
    "JPEG, quality 90": encoded(90),
    "JPEG, quality 70": encoded(70),
    "scaled by 0.9": scaled(0.9),
    "scaled by 0.5": scaled(0.5),
    "cropped by 5 %": cropped(0.05),
    "cropped by 10 %": cropped(0.1),
}


def of_the_pair(count: int) -> list[Image.Image]:
    composer = from_models("tiles", objects=[("blowhole", (16, 16, 32, 32))], steps=STEPS)
    return [
        picture for batch in range(0, count, 8) for picture in composer.compose(min(8, count - batch), batch).images
    ]


def onto(photographs: Sequence[Path]) -> Iterator[Image.Image]:
    """Each photograph with one blowhole."""
    for number, path in enumerate(photographs):
        with Image.open(path) as photograph:
            width, height = photograph.size
        x, y = np.random.default_rng(number).integers(0, (width - 32, height - 32)).tolist()
        composer = from_models(path, objects=[("blowhole", (x, y, 32, 32))], steps=STEPS)
        yield to_picture(composer.compose(1, seed=number).image[0])


def measured(pictures: Sequence[Image.Image], alter: Alteration) -> list[str]:
    """The share of altered copies that are found, for each of BITS."""
    hashes = as_numbers([phash(picture) for picture in pictures])
    apart = np.array([distances(phash(alter(picture)), hashes) for picture in pictures])
    own = apart[np.arange(len(pictures)), np.arange(len(pictures))]
    right = own == apart.min(1)
    return [f"{np.mean(right & (own <= bits)):.1%}" for bits in BITS]


def false_alarms(pictures: Sequence[Image.Image], others: Sequence[Image.Image]) -> list[str]:
    hashes = as_numbers([phash(picture) for picture in pictures])
    nearest = np.array([distances(phash(other), hashes).min() for other in others])
    return [f"{np.mean(nearest <= bits):.1%}" for bits in BITS]


def show(title: str, pictures: Sequence[Image.Image], others: Sequence[Image.Image]) -> None:
    print(f"\n{title}: {len(pictures)} composites, {len(others)} other photographs")
    print(f"| copies | {' | '.join(f'{bits} bits' for bits in BITS)} |\n|---{'|---' * len(BITS)}|")
    for name, alter in ALTERATIONS.items():
        print(f"| {name} | {' | '.join(measured(pictures, alter))} |")
    if others:
        print(f"| false alarms | {' | '.join(false_alarms(pictures, others))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=96, help="composites of each kind")
    parser.add_argument("--real", metavar="FOLDER", help="the Magnetic Tile Defect set")
    arguments = parser.parse_args()
    free = []
    if arguments.real:
        root = Path(arguments.real)
        free = [record for record in listing(find(root).layout, root).records if record.normal]
    tiles = sorted({record.group_name for record in free})
    used = {*tiles[::3]}
    backgrounds = [record.image for record in free if record.group_name in used][: arguments.n]
    others = [Image.open(record.image) for record in free if record.group_name not in used]
    windows = [other.crop((0, 0, 64, 64)) for other in others]
    show("The bundled pair", of_the_pair(arguments.n), windows)
    if backgrounds:
        show("Onto photographs", [*onto(backgrounds)], others)


if __name__ == "__main__":
    main()
