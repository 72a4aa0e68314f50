"""Divide the magnetic tiles into training, validation and test by tile, so that no tile is in two parts.

    python benchmarks/magnetic-tile/split.py DATA                # write split.json beside this file
    python benchmarks/magnetic-tile/split.py DATA --into FOLDER  # copy the pictures of each part into FOLDER/PART
    python benchmarks/magnetic-tile/split.py DATA --into FOLDER --swapped  # the other way round

DATA holds MT_Free, MT_Blowhole and MT_Break. The photographs of one tile have numbers less than 150 apart; tiles are
chains of such numbers over all classes, because a tile with a defect was also photographed elsewhere without one.

Tiles are drawn for each kind of tile alone (with blowholes, with breaks, without defects): a fifth for validation, a
fifth for test, the rest for training. The seed is 0, the first that was tried.

Swapped, what was held out is trained on, and the tiles of training are held out, half of each kind for validation and
half for test. So every tile is held out once, and an experiment by each division is a cross-validation in two folds.
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
    arguments.add_argument("--swapped", action="store_true")
    given = arguments.parse_args()
    if given.into:
        parts: Split = json.loads(FILE.read_text())["parts"]
        copy(swapped(parts, tiles_of(given.data)) if given.swapped else parts, given.data, given.into)
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
    random = np.random.default_rng(seed)
    parts: Split = {part: [] for part in PARTS}
    for of_kind in by_kind(tiles):
        drawn = random.permutation([*of_kind])
        count = round(HELD_OUT * len(drawn))
        for part, chosen in zip(PARTS, (drawn[2 * count :], drawn[:count], drawn[count : 2 * count]), strict=True):
            parts[part] += [name for tile in chosen for name in of_kind[tile]]
    return {part: sorted(chosen) for part, chosen in parts.items()}


def swapped(parts: Mapping[str, list[str]], tiles: Mapping[str, str]) -> Split:
    """Train on what was held out, and hold out what was trained on, every second tile of a kind for the test."""
    held_out: Split = {"validation": [], "test": []}
    for of_kind in by_kind({name: tiles[name] for name in parts["train"]}):
        for number, names in enumerate(of_kind.values()):
            held_out[("validation", "test")[number % 2]] += names
    return {
        "train": sorted(parts["validation"] + parts["test"]),
        **{part: sorted(names) for part, names in held_out.items()},
    }


def by_kind(tiles: Mapping[str, str]) -> list[dict[str, list[str]]]:
    """For each kind of tile (with blowholes, with breaks, without a defect) its tiles in order, each with its names."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, tile in tiles.items():
        names[tile].append(name)
    kinds: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
    for tile, its in sorted(names.items()):
        defects = {name.split("/")[0] for name in its} - {"MT_Free"}
        kinds[min(defects, default="MT_Free")][tile] = its
    return [of_kind for _, of_kind in sorted(kinds.items())]


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
