"""Divide the magnetic tiles into training, validation and test by tile, so that no tile is in two parts.

    python benchmarks/magnetic-tile/split.py DATA                # write split.json beside this file
    python benchmarks/magnetic-tile/split.py DATA --into FOLDER  # copy the pictures of each part into FOLDER/PART

DATA holds MT_Free, MT_Blowhole and MT_Break. The photographs of one tile have numbers less than 150 apart; tiles are
chains of such numbers over all classes, because a tile with a defect was also photographed elsewhere without one.

Tiles are drawn for each kind of tile alone (with blowholes, with breaks, without defects): a fifth for validation, a
fifth for test, the rest for training. The seed is 0, the first that was tried.
"""

import argparse
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dmix_core.files import write_atomically
from dmix_data.layouts.magnetic_tile import classes, photographs, tiles

PARTS = ("train", "validation", "test")
HELD_OUT = 0.2
"""The share of the tiles of each kind that validation gets, and that test gets."""
SEED = 0
FILE = Path(__file__).with_name("split.json")

Split = dict[str, list[str]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--into", type=Path)
    given = arguments.parse_args()
    if given.into:
        copy(json.loads(FILE.read_text())["parts"], given.data, given.into)
        return
    parts = divided(tiles_of(given.data), given.seed)
    text = json.dumps({"seed": given.seed, "held_out": HELD_OUT, "parts": parts}, indent=1)
    write_atomically(FILE, f"{text}\n".encode())


def tiles_of(root: Path) -> dict[str, str]:
    """The tile that each photograph shows, by the photograph's name such as MT_Break/exp1_num_77583."""
    images = [image for folder in classes(root) for image in photographs(folder)]
    return {f"{image.parent.parent.name}/{image.stem}": tile for image, tile in tiles(images).items()}


def divided(tiles: Mapping[str, str], seed: int) -> Split:
    """The names of the photographs in each part, sorted; those of one tile are in one part."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, tile in tiles.items():
        names[tile].append(name)
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for tile, its in names.items():
        defects = {name.split("/")[0] for name in its} - {"MT_Free"}
        kinds[min(defects, default="MT_Free")].append(tile)
    random = np.random.default_rng(seed)
    parts: Split = {part: [] for part in PARTS}
    for _, of_kind in sorted(kinds.items()):
        drawn = random.permutation(sorted(of_kind))
        count = round(HELD_OUT * len(drawn))
        for part, chosen in zip(PARTS, (drawn[2 * count :], drawn[:count], drawn[count : 2 * count]), strict=True):
            parts[part] += [name for tile in chosen for name in names[tile]]
    return {part: sorted(chosen) for part, chosen in parts.items()}


def copy(parts: Split, root: Path, into: Path) -> None:
    """Copy the photographs and masks of each part into a folder of its own, laid out as the data set is."""
    for part, chosen in parts.items():
        for name in chosen:
            class_name, stem = name.split("/")
            folder = into / part / class_name / "Imgs"
            folder.mkdir(parents=True, exist_ok=True)
            for suffix in (".jpg", ".png"):
                shutil.copy(root / class_name / "Imgs" / f"{stem}{suffix}", folder)


if __name__ == "__main__":
    main()
