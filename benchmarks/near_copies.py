"""How often `dmix detect` finds altered copies of composites by their hashes, and how often it is wrong.

    python benchmarks/near_copies.py [-n 96] [--real FOLDER] [--others 472]

The composites are of the bundled pair (64x64); with FOLDER, which holds the Magnetic Tile Defect set, as many are made
onto photographs of tiles without defects. Hits count copies that are near some composite, since tiles are photographed
several times; false alarms count photographs of other tiles that are, and are listed. Crops lie anywhere.
"""

import argparse
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path

import numpy as np
from PIL import Image

from dmix_core import from_models
from dmix_core.images import to_picture
from dmix_data import crophash
from dmix_data.detection import NEAR, NEAR_CROP
from dmix_data.layouts import find, listing
from dmix_data.phash import as_numbers, distances, phash

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
    """Without so large a share of the width and of the height, at a drawn place."""
    draws = np.random.default_rng(0)

    def alter(picture: Image.Image) -> Image.Image:
        width, height = (round(side * (1 - share)) for side in picture.size)
        x, y = draws.integers(0, (picture.width - width + 1, picture.height - height + 1)).tolist()
        return picture.crop((x, y, x + width, y + height))

    return alter


def after(*alterations: Alteration) -> Alteration:
    return lambda picture: reduce(lambda altered, each: each(altered), alterations, picture)


ALTERATIONS: dict[str, Alteration] = {
    "as it is": lambda picture: picture,
    **{f"JPEG, quality {quality}": encoded(quality) for quality in (95, 70, 50)},
    **{f"scaled by {factor}": scaled(factor) for factor in (0.5, 0.9, 2)},
    **{f"cropped by {share:.0%}": cropped(share) for share in (0.05, 0.1, 0.2)},
    "cropped by 20%, scaled by 0.7, quality 70": after(cropped(0.2), scaled(0.7), encoded(70)),
}


class Known:
    """The hashes of a set's pictures."""

    def __init__(self, pictures: Iterable[Image.Image]) -> None:
        kept = [*pictures]
        self.whole = as_numbers([phash(picture) for picture in kept])
        self.centres = crophash.as_signs([crophash.centre_hash(picture) for picture in kept])

    def near(self, picture: Image.Image) -> tuple[int, int]:
        """In how many bits the nearest hash of a whole picture differs, and that of a centre."""
        return int(distances(phash(picture), self.whole).min()), crophash.nearest(picture, self.centres).distance


def of_the_pair(count: int) -> list[Image.Image]:
    composer = from_models("tiles", objects=[("defects:blowhole", (0, 0, 64, 64))], steps=STEPS)
    return [
        picture for batch in range(0, count, 8) for picture in composer.compose(min(8, count - batch), batch).images
    ]


def onto(photographs: Sequence[Path]) -> Iterator[Image.Image]:
    """Each photograph with one blowhole."""
    for number, path in enumerate(photographs):
        with Image.open(path) as photograph:
            width, height = photograph.size
        x, y = np.random.default_rng(number).integers(0, (width - 64, height - 64)).tolist()
        composer = from_models(path, objects=[("defects:blowhole", (x, y, 64, 64))], steps=STEPS)
        yield to_picture(composer.compose(1, seed=number).image[0])


def rates(found: Sequence[tuple[int, int]]) -> str:
    """The shares that are near by the whole picture, by the centre, and by either, which is what `dmix detect` asks."""
    near = np.array(found) <= (NEAR, NEAR_CROP)
    return " | ".join(f"{share:.1%}" for share in (*near.mean(0), near.any(1).mean()))


def show(title: str, pictures: Sequence[Image.Image], others: Sequence[tuple[str, Image.Image]]) -> None:
    known = Known(pictures)
    print(f"\n{title}: {len(pictures)} composites, {len(others)} other photographs")
    print(f"| copies | whole: {NEAR} of 64 bits | centre: {NEAR_CROP} of 256 bits | either |\n|---{'|---' * 3}|")
    for name, alter in ALTERATIONS.items():
        print(f"| {name} | {rates([known.near(alter(picture)) for picture in pictures])} |", flush=True)
    if others:
        found = [known.near(other) for _, other in others]
        print(f"| false alarms | {rates(found)} |")
        alarms = [(name, *bits) for (name, _), bits in zip(others, found, strict=True)]
        print(*sorted(alarms, key=lambda each: each[2])[:5], sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=96, help="composites of each kind")
    parser.add_argument("--real", metavar="FOLDER", help="the Magnetic Tile Defect set")
    parser.add_argument("--others", type=int, default=472, help="photographs of other tiles")
    parser.add_argument("--only", choices=("pair", "photographs"), help="one of the two kinds of composites")
    arguments = parser.parse_args()
    free = []
    if arguments.real:
        root = Path(arguments.real)
        free = [record for record in listing(find(root).layout, root).records if record.normal]
    tiles = sorted({record.group_name for record in free})
    used = {*tiles[::3]}
    backgrounds = [record.image for record in free if record.group_name in used][: arguments.n]
    unused = [record.image for record in free if record.group_name not in used]
    chosen = np.linspace(0, len(unused) - 1, min(arguments.others, len(unused))).round().astype(int)
    others = [(unused[number].name, Image.open(unused[number])) for number in chosen]
    windows = [(name, other.crop((0, 0, 64, 64))) for name, other in others]
    if arguments.only != "photographs":
        show("The bundled pair", of_the_pair(arguments.n), windows)
    if backgrounds and arguments.only != "pair":
        show("Onto photographs", [*onto(backgrounds)], others)


if __name__ == "__main__":
    main()
