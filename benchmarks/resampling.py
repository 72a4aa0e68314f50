"""What resampling and early listening do to the bundled pair: composites side by side from the same noise, and numbers.

    python benchmarks/resampling.py [-n 24] [--real FOLDER] [-o OUT]

One walk with r = 5 passes the clean level six times, so that r = 0, 1, 2 and 5 come from one run. FOLDER holds real
pictures with masks (X.jpg beside X.png); its objects, measured in the same way, say what is real and what is faded.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from dmix_core import BoxRegion, Composer, TailResampling
from dmix_core.composition import tight_box
from dmix_core.files import writable_folder
from dmix_core.images import to_picture, write_png
from dmix_core.pictures import contact_sheet, enlarge
from dmix_core.quality import Visibility, visibility
from dmix_data.datasets import object_crops
from dmix_data.options import DataOptions
from dmix_models import load

LISTENING = (None, 0.9, 0.7, 0.5)  # None: never, a copy-paste
RESAMPLES = (0, 1, 2, 5)
SHOWN = 12
FADED = 6.0  # grey levels: the 5th percentile of the real blowholes, where no folder is given


def composites(samples: int, listen_from: float | None, dtype: str) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """(r, images, masks of the object) each time that the walk reaches the clean level."""
    composer = Composer(
        [
            BoxRegion(load("tiles", dtype=dtype)),
            BoxRegion(load("defects", dtype=dtype).with_label("blowhole"), None, "blowhole", 1, listen_from),
        ],
        timesteps=TailResampling(10, 0 if listen_from is None else max(RESAMPLES)),
        merge_from=1.0 if listen_from is None else 0.9,
    )
    finished = (composer.finish(step) for step in composer.steps(samples) if step.s == 0)
    for r, composition in enumerate(finished):
        if r in RESAMPLES:
            yield r, composition.image, composition.regions[1].visible


def real_objects(folder: str) -> Visibility:
    """The real objects, each in a crop of its own."""
    crops = object_crops(folder, (64, 64), DataOptions(skip_empty=True, skip_small=True))
    cuts = np.stack([crops.cut(item, np.random.default_rng(item)) for item in range(len(crops))])
    pixels = torch.from_numpy(cuts).permute(0, 3, 1, 2)
    return visibility(pixels[:, :3] / 127.5 - 1, pixels[:, 3:] > 127)


def row(name: str, seen: Visibility, faded: float) -> str:
    """A line of the table: medians, and the share of samples whose object cannot be seen."""
    contrast, edge, grain = (values[values.isfinite()] for values in seen)
    lost = 100 * (contrast < faded).float().mean()
    return f"{name:32s} {edge.median():5.1f} {grain.median():6.2f} {contrast.median():7.0f} {lost:6.0f} %"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-n", type=int, default=24)
    arguments.add_argument("--real", help="a folder of real pictures with masks")
    arguments.add_argument("--dtype", default="float32")
    arguments.add_argument("-o", type=Path, default=Path("runs/resampling"))
    given = arguments.parse_args()
    out = writable_folder(given.o)

    faded = FADED
    print(f"{'':32s} {'edge':>5s} {'grain':>6s} {'contrast':>8s} {'faded':>6s}")
    if given.real:
        real = real_objects(given.real)
        faded = real.contrast.quantile(0.05).item()
        print(row(f"{len(real.contrast)} real objects", real, faded), f"  (faded: contrast below {faded:.0f})")

    tiles, titles = [], []
    for listen_from in LISTENING:
        for r, images, masks in composites(given.n, listen_from, given.dtype):
            title = "copy-paste" if listen_from is None else f"listens from {listen_from}, r = {r}"
            print(row(title, visibility(images, masks), faded), flush=True)
            tiles += [enlarge(to_picture(image), 96) for image in images[:SHOWN]]
            titles.append(title)
    empty = sum(tight_box(mask[0]) is None for mask in masks)
    print(f"masks without a pixel in the last row: {empty} of {given.n}")
    print(write_png(out / "resampling.png", contact_sheet(tiles, min(given.n, SHOWN), titles=titles)))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
