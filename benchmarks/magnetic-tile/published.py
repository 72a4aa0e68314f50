"""Copy the magnetic tiles as NVIDIA's five-shot split divides them, held-out pictures apart by whether training shows
their tile.

    python benchmarks/magnetic-tile/published.py DATA --into FOLDER

The names are those of KEEP_ANOMALY and KEEP_CLEAN in `prepare_dataset_uc2.py` of NVIDIA/paidf-anomalygen (2025), which
trains on them and leaves all others to test on. FOLDER gets

    train        the published training pictures that DATA has
    same-tiles   held-out pictures of tiles that training shows, too: the leak
    other-tiles  held-out pictures of all other tiles

The last two together are the published test part. Normal pictures that the bundled models have learned from, those of
the training part of split.json, are in neither.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from split import FILE, Split, copy, tiles_of

TRAINING = {
    "MT_Blowhole": ("exp1_num_265077", "exp1_num_4727", "exp2_num_51697", "exp5_num_297552", "exp5_num_7054"),
    "MT_Break": ("exp2_num_116961", "exp2_num_271384", "exp3_num_148977", "exp3_num_26146", "exp5_num_98336"),
    "MT_Free": (
        *("exp0_num_743", "exp1_num_10181", "exp1_num_10334", "exp1_num_10903", "exp1_num_11276", "exp1_num_13526"),
        *("exp1_num_16503", "exp1_num_1810", "exp1_num_18129", "exp1_num_19695", "exp1_num_2038", "exp1_num_2610"),
        *("exp1_num_3504", "exp1_num_3786", "exp1_num_5907", "exp1_num_6508", "exp1_num_6539", "exp1_num_7871"),
        *("exp1_num_824", "exp1_num_855"),
    ),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--into", type=Path, required=True)
    given = arguments.parse_args()
    learned = json.loads(FILE.read_text())["parts"]["train"]
    parts = divided(tiles_of(given.data), {name for name in learned if name.startswith("MT_Free")})
    copy(parts, given.data, given.into)
    for part, names in parts.items():
        print(f"{part}: {', '.join(f'{count} {kind}' for kind, count in _kinds(names).items())}")


def divided(tiles: Mapping[str, str], left_out: set[str]) -> Split:
    """The names of the photographs in each part, sorted.

    Args:
        tiles: the tile that each photograph shows, by names such as MT_Break/exp1_num_77583.
        left_out: names that no held-out part gets.
    """
    published = {f"{kind}/{stem}" for kind, stems in TRAINING.items() for stem in stems}
    train = sorted(published & tiles.keys())
    shown = {tiles[name] for name in train}
    held_out = sorted(tiles.keys() - published - left_out)
    return {
        "train": train,
        "same-tiles": [name for name in held_out if tiles[name] in shown],
        "other-tiles": [name for name in held_out if tiles[name] not in shown],
    }


def _kinds(names: list[str]) -> dict[str, int]:
    kinds = [name.split("/")[0] for name in names]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


if __name__ == "__main__":
    main()
