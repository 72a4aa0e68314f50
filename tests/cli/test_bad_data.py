"""Data that cannot be learned from: reported before training starts, or left out and listed where that is asked for."""

import re
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

QUICK = ("--steps", 1, "--batch-size", 2, "--warmup", 0, "--preview-samples", 1, "--preview-steps", 1)
QUICK += ("--memorisation-samples", 0)
PIXELS = np.random.default_rng(0).integers(90, 110, (40, 50, 3), np.uint8)
MASK = np.pad(np.full((8, 10), 255, np.uint8), ((12, 20), (14, 26)))


class Data:
    """The folder data/ with images/N.png and masks/N.png, to be spoiled."""

    def __init__(self):
        for number in range(4):
            self.save(f"images/{number}.png", PIXELS)
            self.save(f"masks/{number}.png", MASK)

    def save(self, name, picture, **options):
        picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(self.path(name), **options)

    def path(self, name):
        return Path("data", name)

    def remove(self, *names):
        for name in names or [path.relative_to("data") for path in Path("data").rglob("*.png")]:
            self.path(name).unlink()

    def masks(self, change):
        for number in range(4):
            self.save(f"masks/{number}.png", change(MASK))

    def cut_off(self, name):
        content = self.path(name).read_bytes()
        self.path(name).write_bytes(content[: len(content) // 2])


@pytest.fixture
def data(dmix):
    return Data()


def png(width, height, bits, rows=b""):
    """An RGB picture written by hand."""
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


SIXTEEN_BIT = png(50, 40, 16, 40 * (b"\0" + 300 * b"\x01"))


def turned(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def two_layouts(data):
    data.remove()
    for folder in ("train/good", "test/bad", "ground_truth/bad", "training/image_2"):
        data.save(f"{folder}/0.png", PIXELS)


def two_classes(data):
    data.remove()
    for name in ("MT_Crack/Imgs/a", "MT_Crack/Imgs/b", "MT_Fray/Imgs/c"):
        data.save(f"{name}.jpg", PIXELS)
        data.save(f"{name}.png", MASK)


def transparent(data):
    data.save("images/1.png", np.dstack([PIXELS, MASK]))


def cmyk(data):
    data.remove("images/1.png")
    data.save("images/1.jpg", Image.fromarray(PIXELS).convert("CMYK"))


REFUSED = {
    "no pictures": (Data.remove, [], "No pictures below 'data'; expected files ending in .jpg"),
    "several layouts": (
        two_layouts,
        [],
        "'data' could have several layouts: kitti (training/image_2); mvtec (train/good/ and ground_truth/)",
    ),
    "no mask": (
        lambda data: data.remove("masks/1.png", "masks/2.png"),
        [],
        "2 pictures in 'data' have no mask: 1.png, 2.png",
    ),
    "no masks": (
        lambda data: data.remove(*(f"masks/{n}.png" for n in range(4))),
        [],
        "4 pictures in 'data' have no mask: 0.png, 1.png, 2.png, 3.png. Expected images/X.* with masks/X.*",
    ),
    "a folder of pictures alone": (
        lambda data: [data.remove(f"masks/{n}.png") for n in range(4)] and data.path("masks").rmdir(),
        [],
        "4 pictures in 'data' have no mask: 0.png, 1.png, 2.png, 3.png",
    ),
    "masks alone": (
        lambda data: data.remove(*(f"images/{n}.png" for n in range(4))),
        [],
        "4 masks in 'data' have no picture: 0.png, 1.png, 2.png, 3.png",
    ),
    "no picture of a mask": (
        lambda data: data.remove("images/1.png"),
        [],
        "1 masks in 'data' have no picture: 1.png. Expected one picture for each mask",
    ),
    "two masks": (
        lambda data: data.save("masks/1_mask.png", MASK),
        [],
        "'1.png' could have several masks: 1.png, 1_mask.png. Expected one; name the mask_suffix",
    ),
    "sizes that differ": (
        lambda data: data.save("masks/1.png", MASK[:30, :30]),
        [],
        "'1.png' is 50x40 pixels, but its mask '1.png' is 30x30. Expected equal sizes",
    ),
    "empty masks": (
        lambda data: data.masks(np.zeros_like),
        [],
        "4 of 4 masks show no object under the rule 'threshold:127': 0.png, 1.png, 2.png, 3.png",
    ),
    "masks of ones": (
        lambda data: data.masks(lambda mask: mask // 255),
        [],
        "Try another mask_rule (nonzero, threshold:N, index:N)",
    ),
    "a colour mask": (lambda data: data.save("masks/1.png", PIXELS), [], "mode 'RGB'; expected one channel"),
    "a class of one picture": (two_classes, [], "The class 'fray' has only one picture; expected at least two of each"),
    "crops larger than pictures": (
        lambda data: None,
        ["--size", "64x64"],
        "4 of 4 pictures are smaller than the crop of 64x64 pixels ('0.png' is 50x40)",
    ),
    "objects larger than crops": (
        lambda data: None,
        ["--size", "8x8"],
        "None of the 4 pictures has an object that fits a crop of 8x8 pixels",
    ),
    "EXIF": (
        lambda data: data.save("images/1.png", PIXELS, exif=turned(6)),
        [],
        "'1.png' is 40x50 pixels once EXIF has turned it upright, but its mask '1.png' is 50x40",
    ),
    "16 bits in grey": (
        lambda data: data.save("images/1.png", MASK.astype(np.uint16)),
        [],
        "'data/images/1.png' has Pillow's mode 'I;16'; expected 8 bits per channel",
    ),
    "16 bits in colour": (
        lambda data: data.path("images/1.png").write_bytes(SIXTEEN_BIT),
        [],
        "'data/images/1.png' has R+G+B channels of 16 bits; expected 8 bits per channel",
    ),
    "CMYK": (cmyk, [], "'data/images/1.jpg' has Pillow's mode 'CMYK'; expected 8 bits per channel in grey or RGB"),
    "alpha": (transparent, [], "'data/images/1.png' is transparent in places; expected an opaque picture"),
    "truncated": (lambda data: data.cut_off("images/1.png"), [], "Cannot read 'data/images/1.png' as a picture"),
    "no picture at all": (
        lambda data: data.path("images/1.png").write_text("picture"),
        [],
        "Cannot read 'data/images/1.png' as a picture",
    ),
    "a truncated mask": (lambda data: data.cut_off("masks/1.png"), [], "Cannot read 'data/masks/1.png' as a picture"),
    "a decompression bomb": (
        lambda data: data.path("images/1.png").write_bytes(png(9500, 9500, 8)),
        [],
        "'data/images/1.png' is a decompression bomb, or very large: expected at most 89478485 pixels",
    ),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("spoil", "words", "message"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_before_training_starts(dmix, data, spoil, words, message):
    spoil(data)
    result = dmix("train", "object", "data", "-o", "run", "--size", "16x16", *QUICK, *words, exit_code=1)
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert not Path("run").exists()


@pytest.mark.parametrize("case", ["CMYK", "16 bits in colour", "alpha", "truncated", "crops larger than pictures"])
def test_backgrounds_are_refused_alike(dmix, data, case):
    spoil, words, message = REFUSED[case]
    spoil(data)
    result = dmix("train", "background", "data", "-o", "run", "--size", "16x16", *QUICK, *words, exit_code=1)
    assert message in " ".join(result.stderr.split())
    assert not Path("run").exists()


def test_pictures_that_can_be_read_exactly_are_learned_from(dmix, data):
    data.save("images/0.png", Image.fromarray(PIXELS).quantize(16))
    data.save("images/1.png", np.dstack([PIXELS, np.full_like(MASK, 255)]))
    data.save("images/2.png", Image.fromarray(PIXELS).convert("L"))
    data.save("images/3.png", Image.fromarray(MASK).convert("1"))
    palette = Image.fromarray(MASK)
    palette.putpalette([7] * 768)
    data.save("masks/0.png", palette)
    data.save("masks/1.png", Image.fromarray(MASK).convert("1"))
    data.save("masks/2.png", np.dstack([MASK] * 3))
    data.save("masks/3.png", MASK.astype(np.uint16))
    dmix("train", "object", "data", "-o", "run", "--size", "16x16", *QUICK)
    assert "pictures: 4" in Path("run/README.md").read_text()


def test_a_picture_that_exif_turns_without_changing_its_size_is_warned_of(dmix, data, caplog):
    data.save("images/1.png", PIXELS, exif=turned(3))
    data.save("images/2.png", PIXELS, exif=turned(3))
    data.save("masks/2.png", MASK, exif=turned(3))
    dmix("train", "object", "data", "-o", "run", "--size", "16x16", *QUICK)
    assert "1 pictures are turned upright by EXIF and their masks are not: 1.png." in caplog.text


def test_what_cannot_be_used_is_left_out_counted_and_listed(dmix, data, caplog):
    for number in range(4, 10):
        data.save(f"images/{number}.png", PIXELS)
        data.save(f"masks/{number}.png", MASK)
    data.cut_off("images/2.png")
    data.path("images/3.png").write_bytes(SIXTEEN_BIT)
    data.save("masks/4.png", MASK[:30])
    data.save("masks/5.png", 0 * MASK)
    data.remove("masks/6.png", "images/7.png")
    data.save("images/8.png", PIXELS[:14])
    data.save("masks/8.png", MASK[6:20])
    data.save("images/9.png", PIXELS, exif=turned(6))
    dmix("train", "object", "data", "-o", "run", "--size", "16x16", *QUICK, "--on-error", "skip")
    listed = dict(line.strip().partition(": ")[::2] for line in caplog.text.splitlines() if line.startswith("  "))
    reasons = {
        "images/2.png": "Cannot read",
        "images/3.png": "'data/images/3.png' has R+G+B channels of 16 bits",
        "masks/7.png": "a mask without a picture",
        "images/4.png": "'4.png' is 50x40 pixels, but its mask",
        "images/5.png": "the mask shows no object",
        "images/6.png": "no mask",
        "images/8.png": "",
        "images/9.png": "'9.png' is 40x50 pixels once EXIF has turned it",
    }
    assert listed.keys() == {f"data/{name}" for name in reasons}
    assert all(listed[f"data/{name}"].startswith(reason) for name, reason in reasons.items())
    card = Path("run/README.md").read_text()
    assert "pictures: 2" in card
    counts = {"cannot be read": 2, "does not fit its mask": 2, "the mask shows no object": 1, "no mask": 1}
    counts |= {"a mask without a picture": 1, "smaller than the crop": 1}
    assert all(f"left out.{why}: {count}\n" in card for why, count in counts.items())


def test_the_only_picture_of_a_class_is_left_out_too(dmix, data, caplog):
    two_classes(data)
    dmix("train", "object", "data", "-o", "run", "--size", "16x16", *QUICK, "--on-error", "skip")
    assert "MT_Fray/Imgs/c.jpg: the only picture of its class" in caplog.text
    assert "left out.the only picture of its class: 1" in Path("run/README.md").read_text()


def test_crops_list_what_lacks_its_other_half(dmix, data):
    data.remove("masks/1.png", "images/2.png")
    assert "have no mask: 1.png" in dmix("data", "crops", "data", "-o", "out", exit_code=1).stderr
    printed = dmix("data", "crops", "data", "-o", "out", "--size", "16x16", "--on-error", "skip").stdout
    assert "Cut 2 objects" in printed
    assert "Left out data/images/1.png: no mask" in printed
    assert "Left out data/masks/2.png: a mask without a picture" in printed


def test_a_full_disk_ends_with_1_and_says_what_to_do(dmix, data):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # the system refuses more, as if the disk were full
    try:
        result = dmix("train", "object", "data", "-o", "run", "--size", "16x16", *QUICK, exit_code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    printed = " ".join(result.stderr.split())
    assert "Cannot write the files of step 1 to 'run': File too large" in printed
    assert "Nothing was saved before." in printed
    assert re.search(r"MB are free: free some space, or keep fewer states", printed)
    assert not [*Path("run").rglob("*.safetensors"), *Path("run").rglob(".*")]
    dmix("train", "object", "data", "-o", "run", "--size", "16x16", *QUICK)
    assert Path("run/model.safetensors").exists()
