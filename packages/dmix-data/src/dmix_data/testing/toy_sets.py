"""Small generated sets, such as formats are tried on."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from ..arrays import Pixels
from ..crophash import centre_hash
from ..generated_set import MANIFEST, SET, ObjectEntry, SampleEntry, SetInfo
from ..objects import box_of
from ..options import Split
from ..phash import phash

CLASSES = ("crack", "hole")
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def write_set(folder: str | Path, samples: int = 6, *, seed: int = 0, size: tuple[int, int] = (40, 48)) -> Path:
    """Write a small set like one of `dmix generate`: random pictures, and objects with parts and holes.

    Of three samples in a row, the first shows a crack, the second a crack and a hole, and the third nothing; they
    go to train, the next three to val, and then to test.

    Args:
        size: (H, W), 24 pixels or more each.
    """
    root, random = Path(folder), np.random.default_rng(seed)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    info = SetInfo(name="toys", classes=CLASSES, recipe="0" * 64, licences={"toy": "CC0-1.0"})
    (root / SET).write_text(info.model_dump_json(), encoding="utf-8")
    lines = [_sample(root, number, random, size).model_dump_json() for number in range(samples)]
    (root / MANIFEST).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return root


def _sample(root: Path, number: int, random: np.random.Generator, size: tuple[int, int]) -> SampleEntry:
    shown = (1, 2, 0)[number % 3]
    mask = _objects(shown, random, size)
    image, place = f"images/{number:06d}.png", f"masks/{number:06d}.png"
    picture = Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8))
    picture.save(root / image)
    Image.fromarray(mask).save(root / place)
    return SampleEntry(
        number=number,
        image=image,
        mask=place,
        width=size[1],
        height=size[0],
        kind="composite" if shown else "twin",
        objects=tuple(_entry(mask, value) for value in range(1, shown + 1)),
        group=f"group-{number // 3}",
        split=SPLITS[number // 3 % 3],
        sha256={name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in (image, place)},
        phash=phash(picture),
        centre=centre_hash(picture),
    )


def _objects(count: int, random: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """A mask with the values 1 to `count`, each a blob with a hole and a part beside it."""
    mask = np.zeros(size, np.uint8)
    for value in range(1, count + 1):
        y, x = int(random.integers(1, 4)), 2 + (value - 1) * (size[1] // 2)
        height, width = (int(random.integers(low, low + 4)) for low in (12, 9))
        mask[y : y + height, x : x + width] = value
        mask[y + 3 : y + 6, x + 3 : x + 6] = 0
        mask[y + height + 1 : y + height + 4, x : x + 3] = value
    return mask


def _entry(mask: Pixels, value: int) -> ObjectEntry:
    shown = mask == value
    box = box_of(shown)
    return ObjectEntry(class_name=CLASSES[value - 1], value=value, box=(*box,), area=int(shown.sum()), model="toy")
