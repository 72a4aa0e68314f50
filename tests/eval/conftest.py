"""A small data set as magnetic tiles lie on disk, and a generated set beside it."""

import numpy as np
import pytest
from PIL import Image

from dmix_data.generated_set import ObjectEntry, SampleEntry

SIDE = 72


def ground(random):
    return random.normal(140, 12, (SIDE, SIDE)).clip(0, 255)


def disc(y, x, radius=5):
    rows, columns = np.ogrid[:SIDE, :SIDE]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def with_disc(image, mask, by=-70):
    return (image + by * mask).clip(0, 255).astype(np.uint8)


def write_part(folder, first_tile, tiles, random):
    """A picture with a dark disc and a normal one of each tile."""
    for tile in range(first_tile, first_tile + tiles):
        mask = disc(*random.integers(12, SIDE - 12, 2))
        for kind, number, pixels in (
            ("MT_Blowhole", tile * 1000, with_disc(ground(random), mask)),
            ("MT_Free", tile * 1000 + 1, ground(random).astype(np.uint8)),
        ):
            images = folder / kind / "Imgs"
            images.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(images / f"exp1_num_{number}.jpg", quality=95)
            if kind == "MT_Blowhole":
                Image.fromarray(255 * mask.astype(np.uint8)).save(images / f"exp1_num_{number}.png")


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """Folders train, validation and test."""
    root, random = tmp_path_factory.mktemp("real"), np.random.default_rng(0)
    for number, part in enumerate(("train", "validation", "test")):
        write_part(root / part, 10 * number + 1, 6, random)
    return root


def write_set(folder, count, random, by=-70):
    """A set by its manifest: discs in noise, each with its twin; the last sample is the near-miss of the one before."""
    lines = []
    for name in ("images", "masks", "twins"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        near = number == count - 1
        if not near:
            twin, mask = ground(random), disc(*random.integers(12, SIDE - 12, 2))
        files = {name: f"{name}/{number:06d}.png" for name in ("images", "masks", "twins")}
        Image.fromarray(with_disc(twin, mask, by)).save(folder / files["images"])
        Image.fromarray((mask & (not near)).astype(np.uint8)).save(folder / files["masks"])
        Image.fromarray(twin.astype(np.uint8)).save(folder / files["twins"])
        thing = ObjectEntry(class_name="blowhole", value=1, box=None, area=0, asked=(8, 8, 32, 32))
        entry = SampleEntry(
            number=number,
            image=files["images"],
            mask=files["masks"],
            twin=None if near else files["twins"],
            width=SIDE,
            height=SIDE,
            kind="near-miss" if near else "composite",
            objects=() if near else (thing,),
            group=f"background {number - near}",
            seed=number - near,
        )
        lines.append(f"{entry.model_dump_json()}\n")
    (folder / "manifest.jsonl").write_text("".join(lines))


@pytest.fixture(scope="session")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "set"
    write_set(folder, 13, np.random.default_rng(1))
    return folder
