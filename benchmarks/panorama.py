"""Seams and blur in a row of overlapping tiles, for each way to merge them; 1 is none.

seam   the difference of neighbours across a border of a window, over that of the four columns on either side
blur   the difference of neighbours where one window is alone, over that where two overlap
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from dmix_core import BoxRegion, Composer, Descent, HardMask
from dmix_core.files import writable_folder
from dmix_core.images import to_picture, write_png
from dmix_core.pictures import contact_sheet, enlarge
from dmix_models import load
from dmix_multidiffusion import GaussianWindow, MultiDiffusion, Panorama, QuarticWindow

SIDE, STRIDE, COUNT = 64, 32, 5
WIDTH = SIDE + STRIDE * (COUNT - 1)
BORDERS = [STRIDE * i - 1 for i in range(1, COUNT + 1)]  # the last column before one
NEAR = 4
RULES = {
    "hard-mask": HardMask(),
    "multidiffusion": MultiDiffusion(),
    "gaussian-window": GaussianWindow(),
    "quartic-window": QuarticWindow(),
}


def composers(steps: int) -> dict[str, Composer]:
    """Rows of regions, each with its own noise, and panoramas with one noise for all windows."""
    tiles = load("tiles")
    row = [BoxRegion(tiles, (STRIDE * i, 0, SIDE, SIDE), f"r{i}", i) for i in range(COUNT)]
    made = {}
    for name, rule in RULES.items():
        made[name] = Composer(row, size=(SIDE, WIDTH), steps=steps, timesteps=Descent(), merge=rule, merge_from=0)
    for window in ("mean", "gaussian", "quartic"):
        wide = BoxRegion(Panorama(tiles, WIDTH, stride=STRIDE, window=window))
        made[f"panorama, {window}"] = Composer([wide], steps=steps, timesteps=Descent())
    return made


def seam_and_blur(image: Tensor) -> tuple[float, float]:
    """The two numbers of pictures (B, C, SIDE, WIDTH)."""
    across = image.mean(1).diff(dim=-1).abs().mean((0, 1))
    near = [torch.cat([across[b - NEAR : b], across[b + 1 : b + 1 + NEAR]]).mean() for b in BORDERS]
    alone = torch.cat([across[: STRIDE - 1], across[1 - STRIDE :]]).mean()
    seam = torch.stack([across[b] / around for b, around in zip(BORDERS, near, strict=True)]).mean()
    return seam.item(), (alone / across[STRIDE:-STRIDE].mean()).item()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-n", type=int, default=3)
    arguments.add_argument("--steps", type=int, default=100)
    arguments.add_argument("-o", type=Path, default=Path("runs/panorama"))
    given = arguments.parse_args()
    out = writable_folder(given.o)

    print(f"{'':20s} {'seam':>5s} {'blur':>5s}")
    tiles, titles = [], []
    for name, composer in composers(given.steps).items():
        image = composer.compose(given.n).image
        print("{:20s} {:5.2f} {:5.2f}".format(name, *seam_and_blur(image)), flush=True)
        tiles += [enlarge(to_picture(one), 96) for one in image]
        titles.append(name)
    print(write_png(out / "panorama.png", contact_sheet(tiles, given.n, titles=titles)))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
