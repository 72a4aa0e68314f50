"""Hostile annotation files and pictures: each is read, or refused with a DmixError, and soon."""

import copy
import io
import json
import warnings

import numpy as np
import pytest
from PIL import Image

from dmix_data.inspection import inspect
from dmix_data.loader import read_pixels
from dmix_data.masks import read_values
from dmix_data.options import DataOptions
from dmix_data.readers import read_images, read_pairs

LONGEST = 5  # seconds that one input may take

SQUARE = [20, 10, 25, 10, 25, 16, 20, 16]
RUNS = [810, 6, 34, 6, 34, 6, 34, 6, 34, 6, 1024]
COCO = {
    "images": [{"id": 7, "file_name": "a.png", "height": 40, "width": 50}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "segmentation": [SQUARE], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 3, "segmentation": {"size": [40, 50], "counts": RUNS}},
        {"id": 3, "image_id": 7, "category_id": 3, "segmentation": {"size": [40, 50], "counts": "fS1f00000000fZ"}},
    ],
    "categories": [{"id": 3, "name": "car"}],
}
CROP = {
    **{"format_version": 1, "file": "a.png", "source": "b.png", "sha256": "0", "window": [0, 0, 9, 9], "padding": 0.0},
    **{"object": [1, 1, 3, 3], "scale": [1.0, 1.0], "class_name": "car", "rule": "alpha", "layout": "coco"},
    **{"split": "train", "source_split": None, "group": "b.png"},
}
VISA = "object,split,label,image,mask\ncandle,train,anomaly,a.png,b.png\ncandle,train,normal,a.png,\n"
CAMVID = "/x/train/a.png /x/trainannot/a.png\n"

VALUES = [
    *(None, True, False, 0, -1, 1, 3, 7, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308),
    *(
        float("nan"),
        float("inf"),
        "",
        "a.png",
        "\0",
        "a\0.png",
        "\ud800",
        "..",
        "../../etc/passwd",
        "/",
        ".",
        "x" * 5000,
    ),
    *([], {}, [[]], {"a": 1}, [1], [2**63 - 1, 2**63 - 1, 1922], [[1e308] * 8], [[float("nan")] * 6], [["1"] * 6]),
    *({"size": [40, 50], "counts": [2**63 - 1, 2**63 - 1, 1922]}, {"size": [2**31, 2**31], "counts": [2**62]}),
    *(
        {"size": [40, 50], "counts": "o" * 5000 + "0"},
        {"size": [40, 50], "counts": "0" * 5000},
        {"size": "x", "counts": 1},
    ),
    [[10**6, 0, -(10**6), 20, 3, 10**6]],
]


def mutated(node, draw):
    """The JSON value with one of its parts replaced, dropped or doubled."""
    node = copy.deepcopy(node)
    at = node
    while True:
        keys = list(at) if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else []
        if not keys:
            return draw.choice(VALUES)
        key = draw.choice(list(keys))
        if isinstance(at[key], dict | list) and at[key] and draw.random() < 0.8:
            at = at[key]
            continue
        if draw.random() < 0.2:
            del at[key]
        elif isinstance(at, list) and draw.random() < 0.2:
            at.append(copy.deepcopy(at[key]))
        else:
            at[key] = draw.choice(VALUES)
        return node


def scrambled(data: bytes, draw) -> bytes:
    """The bytes with some of them changed, dropped, doubled, or cut off."""
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5, 20])):
        at, end = (draw.randrange(len(data) + 1) for _ in range(2))
        how = draw.randrange(5)
        if how == 0 and at < len(data):
            data[at] = draw.randrange(256)
        elif how == 1:
            del data[min(at, end) : min(at, end) + draw.choice([1, 4, 100])]
        elif how == 2:
            data[at:at] = bytes(
                draw.choice([b"\0", b"\xff\xfe", b"[" * 3000, b"9" * 5000, b'"', b",", b"\r\n", b"\xed\xa0\x80"])
            )
        elif how == 3:
            data[at:at] = data[end : end + draw.choice([1, 8, 400])]
        else:
            del data[max(at, end) :]
    return bytes(data)


def as_json(value) -> bytes:
    return json.dumps(value).encode()  # lone surrogates as \ud800, NaN and infinity by name


def texts(draw):
    """The name of an annotation file, and its hostile content."""
    name, good, structured = draw.choice(
        [
            ("annotations/instances_train.json", COCO, True),
            ("crops.jsonl", CROP, True),
            ("split_csv/2cls_fewshot.csv", VISA, False),
            ("train.txt", CAMVID, False),
        ]
    )
    if structured and draw.random() < 0.8:
        return name, as_json(mutated(mutated(good, draw) if draw.random() < 0.3 else good, draw))
    content = as_json(good) if structured else good.encode()
    if not structured and draw.random() < 0.5:
        words = [str(value) for value in VALUES if isinstance(value, str)] + ["x" * 200_000, '"', "'"]
        parts = good.replace("\n", ",\n,").split(",")
        parts[draw.randrange(len(parts))] = draw.choice(words)
        content = ",".join(parts).encode(errors="surrogatepass")
    return name, scrambled(content, draw)


def pixels(mode="RGB"):
    shape = (40, 50, 3) if mode == "RGB" else (40, 50)
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def encoded(kind, mode="RGB", **options) -> bytes:
    buffer = io.BytesIO()
    pixels(mode).save(buffer, kind, **options)
    return buffer.getvalue()


PICTURES = [encoded(kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")]
PICTURES += [encoded("PNG", "L"), encoded("TIFF", "L", compression="tiff_lzw")]
PICTURES += [encoded(kind, save_all=True, append_images=[pixels()]) for kind in ("PNG", "GIF", "TIFF", "WEBP")]


def quietly(read, *given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged files
        read(*given)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """A folder in which only the annotation file is missing."""
    root = tmp_path_factory.mktemp("set")
    for name in ("a.png", "train/a.png", "candle/Data/Images/a.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels().save(root / name)
    for name in ("b.png", "trainannot/a.png"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((40, 50), 8, np.uint8)).save(root / name)
    return root


LAYOUTS = {"annotations": "coco", "crops.jsonl": "crops", "split_csv": "visa", "train.txt": "camvid"}


def test_annotation_files_are_read_or_refused(data_set, inputs):
    with inputs("annotations", few=400, seconds=LONGEST) as files:
        for draw in files:
            name, content = texts(draw)
            options = DataOptions(layout=LAYOUTS[name.partition("/")[0]], on_error=draw.choice(["fail", "skip"]))
            path = data_set / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            reader, given = draw.choice([(read_pairs, options), (read_images, options), (inspect, options.layout)])
            files.attempt(quietly, reader, data_set, given, shown=f"{name}: {content[:300]!r}")
            path.unlink()
    assert files.refused > files.count / 4
    assert files.read > files.count / 50


def test_pictures_are_read_or_refused(tmp_path, inputs):
    with inputs("pictures", few=400, seconds=LONGEST) as files:
        for draw in files:
            path = tmp_path / f"x{draw.choice(['.png', '.jpg', '.tif'])}"
            path.write_bytes(scrambled(draw.choice(PICTURES), draw))
            files.attempt(quietly, draw.choice([read_pixels, read_values]), path)
    assert files.refused > files.count / 4
    assert files.read > files.count / 50
