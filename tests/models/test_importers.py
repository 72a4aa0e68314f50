"""guided-diffusion's public checkpoints have these tensors; errors name the preset that a file fits."""

import hashlib
import math
import pickle

import pytest
import torch

from dmix_models import CheckpointError, ModelConfig, UNet, import_guided, load
from dmix_models.importers import PRESETS, find_preset, read_pt
from dmix_models.weights import shapes_of

# tensors, parameters and sha256 of "key (shape)" lines, computed with guided-diffusion itself
SCHEMAS = {
    "256x256_diffusion_uncond": (566, 552_814_086, "99b0f51e19c0f485"),
    "256x256_diffusion": (567, 553_838_086, "34403438fb090630"),
    "128x128_diffusion": (493, 421_529_606, "3e304371ffe30dfe"),
    "64x64_diffusion": (541, 295_904_454, "b41189488aa25b2a"),
    "512x512_diffusion": (645, 558_997_638, "74099b42b3463e62"),
    "lsun_bedroom": (566, 552_814_086, "99b0f51e19c0f485"),
    "lsun_cat": (566, 552_814_086, "99b0f51e19c0f485"),
    "lsun_horse": (566, 552_814_086, "99b0f51e19c0f485"),
    "lsun_horse_nodropout": (566, 552_814_086, "99b0f51e19c0f485"),
}


def test_every_preset_has_a_known_schema():
    assert SCHEMAS.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_preset_is_the_public_network(name):
    shapes = shapes_of(PRESETS[name].network)
    lines = "\n".join(f"{key} {shape}" for key, shape in shapes.items())
    parameters = sum(math.prod(shape) for shape in shapes.values())
    assert (len(shapes), parameters, hashlib.sha256(lines.encode()).hexdigest()[:16]) == SCHEMAS[name]


def test_what_leaves_no_trace_in_the_weights():
    def traceless(name):
        config = PRESETS[name]
        heads = [config.network.heads(width) for width in config.network.widths[-2:]]
        return config.noise.kind, config.network.qkv_order, heads, config.network.dropout

    assert traceless("256x256_diffusion_uncond") == ("linear", "legacy", [16, 16], 0)
    assert traceless("128x128_diffusion") == ("linear", "legacy", [4, 4], 0)
    assert traceless("64x64_diffusion") == ("cosine", "new", [9, 12], 0.1)
    assert traceless("lsun_cat") == ("linear", "legacy", [16, 16], 0.1)
    assert all(preset.variance == "learned-range" for preset in PRESETS.values())
    assert [len(PRESETS[name].classes) for name in ("256x256_diffusion", "lsun_cat")] == [1000, 0]


def test_an_imported_network_computes_the_same(tmp_path, tiny, network):
    torch.save(network.state_dict(), tmp_path / "ema.pt")
    denoiser = load(import_guided(tmp_path / "ema.pt", tiny, tmp_path / "imported"))
    x, times = torch.randn(1, 4, 16, 16), torch.tensor([7])
    assert torch.equal(denoiser.network(x, times), network(x, times))
    card = (tmp_path / "imported" / "README.md").read_text()
    assert 'import_guided("ema.pt", "tiny", ...)' in card
    assert "training steps: not known" in card


def test_a_file_of_guided_diffusions_becomes_a_denoiser_that_says_the_same(tmp_path, reference):
    x, times, labels, expected = (reference.tensors.get(key) for key in ("x", "t", "y", "out"))
    unet = reference.config
    config = ModelConfig(
        name="reference",
        role="object" if unet.in_channels == 4 else "background",
        size=tuple(x.shape[2:]),
        mask_channels=unet.in_channels - 3,
        classes=tuple(map(str, range(unet.num_classes or 0))),
        variance="learned-range" if unet.out_channels == 2 * unet.in_channels else "fixed-small",
        network=unet,
    )
    torch.save(reference.weights(), tmp_path / "model.pt")
    denoiser = load(import_guided(tmp_path / "model.pt", config, tmp_path / "imported"))
    assert denoiser.config == config
    assert torch.allclose(denoiser.network(x, times, labels), expected, rtol=0, atol=1e-4)


def test_an_import_keeps_a_card_that_is_given(tmp_path, tiny, network, card):
    torch.save(network.state_dict(), tmp_path / "ema.pt")
    folder = import_guided(tmp_path / "ema.pt", tiny, tmp_path / "imported", card)
    assert "licence: CC0" in (folder / "README.md").read_text()


def test_the_fitting_preset_is_named(tmp_path, tiny, monkeypatch):
    plain = tiny.network.model_copy(update={"resblock_updown": False})
    small = {
        "updown": tiny,
        "plain": ModelConfig.model_validate({**tiny.model_dump(), "network": plain.model_dump()}),
    }
    monkeypatch.setattr("dmix_models.importers.PRESETS", small)
    torch.save(UNet(plain).state_dict(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError) as raised:
        import_guided(tmp_path / "model.pt", "updown", tmp_path / "out")
    message = str(raised.value)
    assert "unexpected: input_blocks.2.0.op.weight" in message
    assert "resblock_updown = False" in message
    assert message.endswith("The weights fit the preset plain.")
    assert not (tmp_path / "out").exists()


def test_a_file_that_fits_no_preset_says_so(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"model_channels = 16.* The weights fit none of the presets"):
        import_guided(tmp_path / "model.pt", "64x64_diffusion", tmp_path / "out")


def test_an_unknown_preset_is_named():
    with pytest.raises(CheckpointError, match=r"No preset '64x64'.* Did you mean '64x64_diffusion'\? Presets: 256x256"):
        find_preset("64x64")


class Payload:
    """What a malicious pickle would be: code that runs when it is read."""

    def __reduce__(self):
        return (pytest.fail, ("the pickle was executed",))


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    torch.save({"weight": torch.zeros(1), "code": Payload()}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(
            CheckpointError,
            match=rf"{name}' is damaged, or holds more than tensors \(UnpicklingError\).* plain state dict",
        ) as raised:
            read_pt(tmp_path / name)
        assert "weights_only" not in str(raised.value)


def test_a_file_that_is_no_state_dict_is_named(tmp_path):
    torch.save({"model": {"weight": torch.zeros(1)}, "step": 3}, tmp_path / "run.pt")
    with pytest.raises(CheckpointError, match=r"holds a dict of model, step; expected a plain state dict"):
        read_pt(tmp_path / "run.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"holds a list; expected a plain state dict"):
        read_pt(tmp_path / "list.pt")


def test_a_damaged_or_missing_file_is_named(tmp_path):
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "model.pt")
    data = (tmp_path / "model.pt").read_bytes()
    for kept in (0, 3, len(data) // 2):
        (tmp_path / "model.pt").write_bytes(data[:kept])
        with pytest.raises(CheckpointError, match=r"model.pt' is damaged"):
            read_pt(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"Cannot read .*gone.pt' \(No such file or directory\)"):
        read_pt(tmp_path / "gone.pt")
