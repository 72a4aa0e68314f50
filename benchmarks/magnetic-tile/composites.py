"""Compose defects into normal photographs at their own scale, as a generated set with twins.

    python benchmarks/magnetic-tile/composites.py PHOTOGRAPHS MODEL CLASS OUT [-n 200] [--steps 100] [--listen-from 0.3]

PHOTOGRAPHS is a folder MT_Free of the training part. Each background is a window of 128 x 128 pixels of a photograph,
and appears twice; the object's box lies anywhere in it. With --listen-from the object takes in the photograph from that
fraction of the denoising on, and the schedule climbs back once by 5 levels; without, all is by default.
--strength LOW HIGH scales the change that the object makes, by a factor drawn for each sample, and leaves out objects
that do not show.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from dmix_core import Box, BoxRegion, Composer, HardMask, StillImage, TailResampling
from dmix_core.backends import Compute
from dmix_core.files import write_atomically
from dmix_core.images import index_picture, to_picture, write_png
from dmix_core.loading import Loader
from dmix_core.quick import from_models
from dmix_core.redraw import unseen
from dmix_core.sample import Sample
from dmix_data.generated_set import MANIFEST, SET, ObjectEntry, SampleEntry, SetInfo
from dmix_data.layouts.magnetic_tile import photographs, tiles

SIDE = 128  # pixels of a background, at most
LEAST = 96
EACH = 2  # samples of one background
FOLDERS = ("images", "masks", "twins")


class Background(NamedTuple):
    """A window of a photograph (h, w), the photograph's name and its tile."""

    pixels: np.ndarray
    name: str
    tile: str


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("photographs", type=Path)
    arguments.add_argument("model")
    arguments.add_argument("class_name")
    arguments.add_argument("out", type=Path)
    arguments.add_argument("-n", "--samples", type=int, default=200)
    arguments.add_argument("--steps", type=int, default=100)
    arguments.add_argument("--listen-from", type=float)
    arguments.add_argument("--threshold", type=float, default=0.5)
    arguments.add_argument("--strength", type=float, nargs=2)
    given = arguments.parse_args()
    for folder in FOLDERS:
        (given.out / folder).mkdir(parents=True, exist_ok=True)
    random, loader, lines = np.random.default_rng(0), Loader(), []
    for background in backgrounds(given.photographs, random):
        box = (*(int(random.integers(0, side - 63)) for side in reversed(background.pixels.shape)), 64, 64)
        composer = composer_of(background, box, given, loader)
        for sample in composer.compose(EACH, int(random.integers(2**31))).samples():
            if given.strength:
                if unseen(sample):
                    continue
                sample = at_strength(sample, background, random.uniform(*given.strength))
            lines.append(write(sample, len(lines), background, given.class_name, given.out))
        if len(lines) >= given.samples:
            break
    text = "".join(f"{line.model_dump_json()}\n" for line in lines)
    write_atomically(given.out / MANIFEST, text.encode())
    info = SetInfo(name=given.out.name, classes=(given.class_name,), real=True)
    write_atomically(given.out / SET, info.model_dump_json().encode())


def composer_of(background: Background, box: Sequence[int], given: argparse.Namespace, loader: Loader) -> Composer:
    """The object in its box on the background."""
    scene, model = np.repeat(background.pixels[..., None], 3, 2), f"checkpoint:{given.model}:{given.class_name}"
    if given.listen_from is None:
        return from_models(scene, [(model, tuple(box))], registry=loader, dtype="bfloat16", steps=given.steps)
    denoiser = loader.denoiser(model, Compute("cpu", "bfloat16"))
    regions = [
        BoxRegion(StillImage.of(scene), None, "background"),
        BoxRegion(denoiser, Box(*box), given.class_name, 1, given.listen_from),
    ]
    return Composer(regions, steps=given.steps, timesteps=TailResampling(5, 1), merge=HardMask(given.threshold))


def at_strength(sample: Sample, background: Background, strength: float) -> Sample:
    """The sample with what it changes of its background made stronger or fainter."""
    twin = torch.from_numpy(background.pixels / np.float32(127.5) - 1)
    return replace(sample, image=(twin + strength * (sample.image - twin)).clamp(-1, 1))


def backgrounds(folder: Path, random: np.random.Generator) -> Iterator[Background]:
    """Windows of random photographs, without end; small photographs are left out."""
    paths = photographs(folder)
    tile_of = tiles(paths)
    while True:
        path = paths[random.integers(len(paths))]
        photo = np.asarray(Image.open(path).convert("L"))
        y, x = (int(random.integers(0, max(1, side - SIDE + 1))) for side in photo.shape)
        pixels = photo[y : y + SIDE, x : x + SIDE]
        if min(pixels.shape) >= LEAST:
            yield Background(pixels, path.name, tile_of[path])


def write(sample: Sample, number: int, background: Background, class_name: str, out: Path) -> SampleEntry:
    """Write a sample's picture, mask and twin; returns its line of the manifest."""
    image, mask, twin = (f"{folder}/{number:06d}.png" for folder in FOLDERS)
    write_png(out / image, to_picture(sample.image, grey=True))
    write_png(out / mask, index_picture(sample.index))
    write_png(out / twin, Image.fromarray(background.pixels))
    (thing,) = sample.objects
    entry = ObjectEntry(
        class_name=class_name,
        value=1,
        box=tuple(thing.box) if thing.box else None,
        area=int(thing.shown.sum()),
        **thing.figures._asdict(),
    )
    height, width = sample.size
    return SampleEntry(
        number=number,
        image=image,
        mask=mask,
        twin=twin,
        width=width,
        height=height,
        objects=(entry,),
        background=background.name,
        group=background.tile,
    )


if __name__ == "__main__":
    main()
