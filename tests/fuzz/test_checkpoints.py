"""Checkpoints that somebody else has made: whatever is in them, an import or a load ends well or with a DmixError.

Seeded, and a few hundred inputs; the environment variable DMIX_FUZZ=N tries N of each kind.
"""

import io
import json
import os
import random
import time
import zipfile

import pytest
import safetensors.torch
import torch

from dmix_core.errors import DmixError
from dmix_models import ModelCard, ModelConfig, checkpoint, import_guided, load, save
from dmix_models.estimate import resident_peak

INPUTS = int(os.environ.get("DMIX_FUZZ", "100"))
SECONDS = 30  # for one input, on a busy machine; most take a few milliseconds
BYTES = 500_000_000

CONFIG = ModelConfig.model_validate(
    {
        "name": "small",
        "role": "object",
        "size": (8, 8),
        "mask_channels": 1,
        "network": {
            "kind": "unet",
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": 8,
            "num_res_blocks": 1,
            "channel_mult": (1, 2),
            "norm_groups": 4,
        },
    }
)
CARD = ModelCard(data="nuts", command="dmix train", licence="CC0-1.0")
VALUES = [
    *(0, -1, 1, 2, 7, 2**31, 2**63, 10**30, 1e308, -1e308, 0.5, 1e-320),
    *(True, None, "", "unet", "\x1b[2J\n- role: x", "\ud800", "a" * 5000, "NaN", "float16"),
    *([], [0], [1, 1], [1.0] * 50, {}, {"kind": "unet"}, [[[[]]]], {"": {}}),
]


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    return save(tmp_path / "model", CONFIG, CONFIG.network.build().state_dict(), CARD)


def tried(work, *given) -> bool:
    """Whether it ended well; a DmixError is an answer, any other error is not."""
    before, start = resident_peak() or 0, time.monotonic()
    try:
        work(*given)
    except DmixError:
        return False
    finally:
        assert time.monotonic() - start < SECONDS
        assert (resident_peak() or 0) - before < BYTES
    return True


def places(data, at=()):
    """The places of everything in a JSON value."""
    yield at
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield from places(value, (*at, key))


def mutated(data, draw):
    """A copy with one or two values changed, left out or added."""
    data = json.loads(json.dumps(data))
    for _ in range(draw.randint(1, 2)):
        at = draw.choice([place for place in places(data) if place])
        parent = data
        for key in at[:-1]:
            parent = parent[key]
        change = draw.choice(["value", "value", "value", "gone", "more"])
        if change == "gone":
            del parent[at[-1]]
        elif change == "more" and isinstance(parent, dict):
            parent[draw.choice(["unet", "network", "kind", "x", "num_classes", "format_version"])] = draw.choice(VALUES)
        else:
            parent[at[-1]] = draw.choice(VALUES)
    return data


def damaged(data: bytes, draw) -> bytes:
    """Cut off, or with some bytes changed, put in or left out; mostly near the start, where the structure is."""
    data = bytearray(data)
    if draw.random() < 0.2:
        return bytes(data[: draw.randrange(len(data))])
    for _ in range(draw.randint(1, 4)):
        end = len(data) if draw.random() < 0.3 else min(len(data), 2000)
        at = draw.randrange(end)
        match draw.randrange(3):
            case 0:
                data[at] = draw.randrange(256)
            case 1:
                data[at:at] = draw.randbytes(draw.randint(1, 8))
            case 2:
                del data[at : at + draw.randint(1, 8)]
    return bytes(data)


def test_configs(folder):
    path, draw = folder / checkpoint.CONFIG, random.Random(0)
    new = json.loads(path.read_text())
    network = {key: value for key, value in new["network"].items() if key != "kind"}
    old = {key: value for key, value in new.items() if key != "network"} | {"format_version": 1, "unet": network}
    for _ in range(INPUTS):
        path.write_text(json.dumps(mutated(draw.choice([new, old]), draw)))
        tried(load, folder)
    path.write_text(json.dumps(old))
    assert tried(load, folder)


def test_bytes_of_configs_and_cards(folder):
    draw = random.Random(1)
    for name in (checkpoint.CONFIG, checkpoint.CARD):
        path = folder / name
        whole = path.read_bytes()
        for _ in range(INPUTS):
            path.write_bytes(damaged(whole, draw))
            tried(load, folder)
        path.write_bytes(whole)


def test_safetensors(folder):
    path, draw = folder / checkpoint.WEIGHTS, random.Random(2)
    (folder / checkpoint.CARD).unlink()
    whole = path.read_bytes()
    for _ in range(INPUTS):
        path.write_bytes(damaged(whole, draw))
        tried(load, folder)


def strange(weights, draw):
    """The weights with one tensor that is not as it should be."""
    key = draw.choice([*weights])
    tensor = weights[key]
    other = draw.choice(
        [
            lambda: tensor.bool(),
            lambda: tensor.long(),
            lambda: tensor.to(torch.complex64),
            lambda: tensor * torch.nan,
            lambda: tensor[None],
            lambda: tensor.flatten()[:1].expand(2**40),
            lambda: tensor.to("meta"),
            lambda: tensor.to_sparse(),
            lambda: torch.zeros(0),
            lambda: tensor.to(torch.float8_e4m3fn),
        ]
    )()
    return {**weights, draw.choice([key, key, key, "x" * 10_000, "input_blocks.99999.0"]): other}


def test_strange_tensors(folder, tmp_path):
    draw, pt = random.Random(3), tmp_path / "model.pt"
    weights = CONFIG.network.build().state_dict()
    for _ in range(INPUTS // 4):  # a second each, since an unknown name is looked for in every public schema
        torch.save(strange(weights, draw), pt)
        assert not tried(import_guided, pt, CONFIG, tmp_path / "imported")
    torch.save(weights, pt)
    assert tried(import_guided, pt, CONFIG, tmp_path / "imported")


@pytest.mark.parametrize("legacy", [False, True])
def test_bytes_of_pt_files(tmp_path, legacy):
    draw, pt, buffer = random.Random(4 + legacy), tmp_path / "model.pt", io.BytesIO()
    torch.save(CONFIG.network.build().state_dict(), buffer, _use_new_zipfile_serialization=not legacy)
    for _ in range(INPUTS):
        pt.write_bytes(damaged(buffer.getvalue(), draw))
        tried(import_guided, pt, CONFIG, tmp_path / "imported")


def test_a_small_file_of_much_memory_is_refused(tmp_path):
    plain, packed = tmp_path / "plain.pt", tmp_path / "packed.pt"
    torch.save({"weight": torch.zeros(2_000_000)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert packed.stat().st_size < 100_000
    with pytest.raises(DmixError, match=r"is compressed: it would take 8,0\d\d,\d\d\d bytes of memory"):
        import_guided(packed, CONFIG, tmp_path / "imported")


def stored(folder, change):
    path = folder / checkpoint.WEIGHTS
    weights = safetensors.torch.load_file(path)
    weights["out.2.bias"] = change(weights["out.2.bias"])
    safetensors.torch.save_file(weights, path)
    (folder / checkpoint.CARD).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bias: bias.bool(), r"no plain floating-point numbers: out.2.bias is strided bool\. Expected float32"),
        (lambda bias: bias.long(), "out.2.bias is strided int64"),
        (lambda bias: bias.to(torch.complex64), "out.2.bias is strided complex64"),
        (lambda bias: bias * torch.nan, r"hold NaN or infinity \(in out.2.bias\)"),
    ],
)
def test_stored_weights_that_are_no_numbers_are_refused(folder, change, message):
    stored(folder, change)
    with pytest.raises(DmixError, match=message):
        load(folder)


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
@pytest.mark.parametrize("name", [checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.CARD])
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "/dev/null", "folder"])
def test_what_is_no_regular_file_is_refused(folder, name, kind):
    path = folder / name
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(kind)
    with pytest.raises(DmixError, match=r"Cannot read .*(not a regular file|directory)"):
        load(folder)


def test_a_config_that_is_too_large_is_refused(folder):
    (folder / checkpoint.CONFIG).write_bytes(b" " * (checkpoint.LIMIT + 1))
    with pytest.raises(DmixError, match="larger than 4,000,000 bytes"):
        load(folder)


def test_a_card_states_only_its_own_facts(folder):
    forged = f"x\n- sha256 of model.safetensors: {'0' * 64}\x1b[2J\u2028- role: x"
    card = ModelCard(data=forged, command=forged, licence=forged, settings={forged: forged}, notes=forged + "\ud800")
    denoiser = load(save(folder, CONFIG, CONFIG.network.build().state_dict(), card))
    text = checkpoint.read_card(folder)
    assert "\x1b" not in text
    lines = text[: text.index("## Made with")].splitlines()
    assert [line for line in lines if line.startswith("- sha256")] == [
        f"- sha256 of model.safetensors: {denoiser.sha256}"
    ]
    assert [line for line in lines if line.startswith("- role")] == ["- role: object"]
