"""The folder of a training, damaged at random: it goes on, or a DmixError explains why it does not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dmix_data.datasets import ObjectCrops
from dmix_data.loader import Picture
from dmix_models import ModelConfig, UNetConfig, closing
from dmix_models.page import write_page
from dmix_models.trainer import TrainConfig, train

WEIRD = [
    None, True, False, 0, -1, 1.5, 2**63, 10**400, 1e308, -1e308, float("nan"), float("inf"), "", "x", "../../x",
    "\x00", "\ud800", "a" * 10_000, [], [[]], {}, {"a": {}}, [None] * 4, [1e308] * 4, ["x"] * 4,
]  # fmt: skip
FILES = (
    "config.json",
    "README.md",
    "training/metrics.jsonl",
    "training/metrics.jsonl",
    "training/state-00000002/state.json",
    "training/state-00000002/state.json",
    "training/state-00000002/network.safetensors",
    "training/verdict.json",
    "training/memorisation.json",
    "training/finished.json",
    "training/owner.json",
    "training/lock",
    "training/preview-00000002.png",
)
CONFIG = TrainConfig(
    steps=2, batch_size=1, mixed_precision="no", save_every=1, preview_every=1, preview_samples=1, preview_steps=1,
    log_every=1, keep=1, memorisation_samples=2, verdict_samples=2, decay="none",
)  # fmt: skip


@pytest.fixture(scope="module")
def crops():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 18, 18, 1), np.uint8)
    mask = np.pad(np.full((6, 6), 255, np.uint8), 6)
    return ObjectCrops([Picture(Path(f"{n}.png"), each, mask) for n, each in enumerate(pixels)], (16, 16))


@pytest.fixture(scope="module")
def model():
    unet = UNetConfig(
        in_channels=4, out_channels=8, model_channels=8, num_res_blocks=1, channel_mult=(1,), norm_groups=4
    )
    return ModelConfig(
        name="fuzzed", role="object", size=(16, 16), mask_channels=1, variance="learned-range", unet=unet
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory, model, crops):
    out = tmp_path_factory.mktemp("trained")
    list(train(model, CONFIG, crops, out))
    (out / "training/owner.json").write_text('{"pid": 1, "host": "x", "since": "never"}')
    (out / "training/lock").touch()
    return out


def changed(value, draw):
    """A JSON value with a weird one somewhere in it."""
    if draw.random() < 0.3 or not isinstance(value, list | dict) or not value:
        return draw.choice(WEIRD)
    key = draw.choice([*value] if isinstance(value, dict) else range(len(value)))
    if isinstance(value, dict) and draw.random() < 0.2:
        return {name: each for name, each in value.items() if name != key}
    copy = value.copy()
    copy[key] = changed(value[key], draw)
    return copy


def mutated(data, draw):
    """The bytes of a file, damaged."""
    kind = draw.choice(["json", "json", "json", "bytes", "cut", "deep", "lines", "empty"])
    if kind == "json":
        try:
            lines = data.decode().splitlines() if data.count(b'{"step"') > 1 else [data.decode()]
            place = draw.randrange(len(lines))
            lines[place] = json.dumps(changed(json.loads(lines[place]), draw))
            return "\n".join([*lines, ""]).encode()
        except (ValueError, RecursionError):  # of a file that was damaged twice
            kind = "bytes"
    if kind == "bytes":
        place = draw.randrange(len(data) + 1)
        return bytes(data[:place] + draw.randbytes(draw.randrange(9)) + data[place + draw.randrange(9) :])
    lines = data.splitlines(keepends=True)
    draw.shuffle(lines)
    return {
        "cut": data[: draw.randrange(len(data) + 1)],
        "deep": b'{"step":' * 50_000,
        "lines": b"".join(lines),
        "empty": b"",
    }[kind]


def damage(out, draw):
    """Damage some files of a training, and lay a folder beside its states."""
    for name in draw.sample(FILES, draw.choice([1, 1, 1, 3])):
        path = out / name
        path.write_bytes(mutated(path.read_bytes(), draw))
    stray = out / "training" / draw.choice(["state-abc", "state-", "state-99999999999999999999", "preview-x.png"])
    if draw.random() < 0.3:
        stray.mkdir()


def go_on_and_draw(model, config, crops, out):
    """Go on, and draw the page whether that was refused or not."""
    try:
        list(train(model, config, crops, out))
    finally:
        write_page(out)


def test_a_damaged_folder_goes_on_or_is_explained(tmp_path, trained, model, crops, inputs, monkeypatch):
    monkeypatch.setattr(closing, "draw", lambda *_, **__: {None: torch.zeros(2, 4, 16, 16)})
    out = tmp_path / "out"
    with inputs("training folders", few=60) as damaged:
        for draw in damaged:
            shutil.copytree(trained, out)
            damage(out, draw)
            longer = CONFIG.model_copy(update={"steps": draw.choice([2, 3])})
            damaged.attempt(go_on_and_draw, model, longer, crops, out)
            shutil.rmtree(out)
