"""When should an object listen to the photograph that it is composed into? Light, area and faded objects by settings.

    python benchmarks/magnetic-tile/listening.py TRAIN MODEL:CLASS [-n 32] [--steps 100]

TRAIN is the training part. Real defects come first, then composites at random places in MT_Free for
each row: from when on the object listens, how often the schedule climbs back, and the mask's threshold.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dmix_core import Box, BoxRegion, Composer, Denoiser, HardMask, StillImage, TailResampling
from dmix_core.backends import Compute
from dmix_core.images import to_uint8
from dmix_core.loading import Loader
from dmix_data.components import grown, label
from dmix_data.layouts.magnetic_tile import photographs

ROWS = [(0.9, 1, 0.5), (0.7, 1, 0.5), (0.5, 1, 0.5), (0.3, 1, 0.5), (0.9, 0, 0.5), (0.9, 3, 0.5), (0.3, 1, 0.3)]
FADED = 6.0  # grey levels
LEAST = 16  # pixels
"""Objects of fewer are noise."""
SCENE, LEAST_SCENE = 128, 96
"""The sides of a scene in pixels, at most and at least."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("train", type=Path)
    arguments.add_argument("model")
    arguments.add_argument("-n", "--samples", type=int, default=32)
    arguments.add_argument("--steps", type=int, default=100)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    print("| listens from | climbs | threshold | none | brighter | contrast: median, 10 % to 90 % | faded | area |")
    print("|---|---|---|---|---|---|---|---|")
    print(line(("real", "", ""), real(given.train / f"MT_{given.model.rpartition(':')[2].capitalize()}" / "Imgs")))
    denoiser = Loader().denoiser(given.model, Compute("cpu", "bfloat16"))
    for row in ROWS:
        print(line(row, composed(given.train / "MT_Free", denoiser, row, given)), flush=True)


def real(folder: Path) -> Iterator[tuple[float, int]]:
    """Signed contrast and area of each real defect."""
    for path in sorted(folder.glob("*.jpg")):
        image = np.asarray(Image.open(path).convert("L"), np.float64)
        parts = label(np.asarray(Image.open(path.with_suffix(".png")).convert("L")) > 127)
        for number in range(1, parts.max() + 1):
            if (parts == number).sum() >= LEAST:
                yield contrast(image, parts == number), int((parts == number).sum())


def composed(
    folder: Path, denoiser: Denoiser, row: tuple[float, int, float], given: argparse.Namespace
) -> Iterator[tuple[float, int]]:
    """Signed contrast and area of each composed object."""
    listen, resamples, threshold = row
    random, walk = np.random.default_rng(1), TailResampling(max(1, given.steps // 20), resamples)
    cuts = scenes(folder, random)
    for _ in range(given.samples):
        scene = next(cuts)
        y, x = (int(random.integers(0, side - 63)) for side in scene.shape)
        bottom = BoxRegion(StillImage.of(np.repeat(scene[..., None], 3, 2)), None, "photograph")
        regions = [bottom, BoxRegion(denoiser, Box(x, y, 64, 64), "object", 1, listen)]
        composer = Composer(regions, steps=given.steps, timesteps=walk, merge=HardMask(threshold))
        (sample,) = composer.compose(1, int(random.integers(2**31))).samples()
        mask = sample.index.numpy() > 0
        yield contrast(to_uint8(sample.image).double().mean(0).numpy(), mask), int(mask.sum())


def scenes(folder: Path, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Windows of random photographs, without end; small photographs are left out."""
    paths = photographs(folder)
    while True:
        photo = np.asarray(Image.open(paths[random.integers(len(paths))]).convert("L"))
        y, x = (int(random.integers(0, max(1, side - SCENE + 1))) for side in photo.shape)
        pixels = photo[y : y + SCENE, x : x + SCENE]
        if min(pixels.shape) >= LEAST_SCENE:
            yield pixels


def contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean grey level within a mask less that of a ring from 2 to 4 pixels around it."""
    ring = grown(mask, 9)[4:-4, 4:-4] & ~grown(mask, 3)[1:-1, 1:-1]
    return float(image[mask].mean() - image[ring].mean()) if mask.any() else float("nan")


def line(row: tuple[object, ...], found: Iterator[tuple[float, int]]) -> str:
    values, areas = np.array([*found]).T
    shown = values[~np.isnan(values)]
    low, middle, high = np.quantile(shown, [0.1, 0.5, 0.9])
    shares = [np.isnan(values).mean(), (shown > 0).mean(), (np.abs(shown) < FADED).mean()]
    none, brighter, faded = (f"{share:.0%}" for share in shares)
    cells = [*map(str, row), none, brighter, f"{middle:.0f}, {low:.0f} to {high:.0f}", faded, f"{np.median(areas):.0f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
