"""Checkpoints that somebody else has made: whatever is in them, an import or a load ends well or with a DmixError."""

import functools
import io
import json
import os
import zipfile

import pytest
import safetensors.torch
import torch

from dmix_core.errors import DmixError
from dmix_models import ModelCard, ModelConfig, checkpoint, import_guided, importers, load, save
from dmix_models.estimate import resident_peak

PARTS = 6  # of the corpus, equally large
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
MORE = ["unet", "network", "kind", "x", "num_classes", "format_version"]


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    return save(tmp_path / "model", CONFIG, CONFIG.network.build().state_dict(), CARD)


def frugal(work, *given):
    """Do the work, which must not take much memory."""
    before = resident_peak() or 0
    try:
        work(*given)
    finally:
        assert (resident_peak() or 0) - before < BYTES


def test_configs(folder, inputs, mutated):
    path = folder / checkpoint.CONFIG
    new = json.loads(path.read_text())
    network = {key: value for key, value in new["network"].items() if key != "kind"}
    old = {key: value for key, value in new.items() if key != "network"} | {"format_version": 1, "unet": network}
    with inputs("checkpoints", few=100, of=PARTS) as configs:
        for draw in configs:
            path.write_text(json.dumps(mutated(draw.choice([new, old]), VALUES, MORE, draw)))
            configs.attempt(frugal, load, folder, shown=path.read_text())
    path.write_text(json.dumps(old))
    load(folder)


@pytest.mark.parametrize("name", [checkpoint.CONFIG, checkpoint.CARD])
def test_bytes_of_configs_and_cards(folder, inputs, damaged, name):
    path = folder / name
    whole = path.read_bytes()
    with inputs("checkpoints", few=100, of=2 * PARTS) as files:
        for draw in files:
            path.write_bytes(damaged(whole, draw))
            files.attempt(frugal, load, folder)


def test_safetensors(folder, inputs, damaged):
    path = folder / checkpoint.WEIGHTS
    (folder / checkpoint.CARD).unlink()
    whole = path.read_bytes()
    with inputs("checkpoints", few=100, of=PARTS) as files:
        for draw in files:
            path.write_bytes(damaged(whole, draw))
            files.attempt(frugal, load, folder)


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


def test_strange_tensors(tmp_path, inputs, monkeypatch):
    pt, weights = tmp_path / "model.pt", CONFIG.network.build().state_dict()
    # weights that do not fit are held against every preset, whose building takes half a second
    monkeypatch.setattr(importers, "shapes_of", functools.cache(importers.shapes_of))
    with inputs("checkpoints", few=25, of=PARTS) as files:
        for draw in files:
            torch.save(strange(weights, draw), pt)
            files.attempt(frugal, import_guided, pt, CONFIG, tmp_path / "imported")
    assert files.read == 0
    torch.save(weights, pt)
    import_guided(pt, CONFIG, tmp_path / "imported")


@pytest.mark.parametrize("legacy", [False, True])
def test_bytes_of_pt_files(tmp_path, inputs, damaged, legacy):
    pt, buffer = tmp_path / "model.pt", io.BytesIO()
    torch.save(CONFIG.network.build().state_dict(), buffer, _use_new_zipfile_serialization=not legacy)
    with inputs("checkpoints", few=100, of=PARTS) as files:
        for draw in files:
            pt.write_bytes(damaged(buffer.getvalue(), draw))
            files.attempt(frugal, import_guided, pt, CONFIG, tmp_path / "imported")


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
