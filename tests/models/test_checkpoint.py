"""A checkpoint comes back as it went in, or the error states what is wrong with it."""

import hashlib
import json
import shutil

import pytest
import safetensors.torch
import torch

from dmix_core.errors import DmixError
from dmix_models import CheckpointError, ModelConfig, UNet, bundled, checkpoint, load, save
from dmix_models.weights import build, check_weights


@pytest.fixture
def folder(tmp_path, tiny, network, card):
    return save(tmp_path / "models" / "tiny", tiny, network.state_dict(), card)


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def unet_with(config, **changes):
    return type(config).model_validate({**config.model_dump(), **changes})


# ---- round trip -------------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(folder, tiny, network):
    denoiser = load(folder)
    assert denoiser.config == tiny
    assert denoiser.network.state_dict().keys() == network.state_dict().keys()
    for key, tensor in network.state_dict().items():
        assert torch.equal(denoiser.network.state_dict()[key], tensor), key
    assert denoiser.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert not denoiser.network.training
    x, times = torch.randn(2, 4, 16, 16), torch.tensor([3])
    assert torch.equal(denoiser.network(x, times), network(x, times))


@pytest.mark.parametrize(("store_dtype", "error"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_weights_may_be_stored_narrow(tmp_path, tiny, network, card, store_dtype, error):
    wide = save(tmp_path / "wide", tiny, network.state_dict(), card)
    narrow = save(tmp_path / "narrow", tiny, network.state_dict(), card, store_dtype=store_dtype)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (narrow, wide)]
    assert sizes[0] < 0.6 * sizes[1]
    for key, tensor in load(narrow).network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.allclose(tensor, network.state_dict()[key], rtol=error, atol=1e-6), key


def test_the_card_says_where_the_model_comes_from(folder, network):
    text = (folder / "README.md").read_text()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    checksum = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for fact in ("squares", "steps: 7", "dmix train tiny.toml", "CC0", "seed: 3", f"{parameters:,}", checksum):
        assert fact in text


def test_a_config_round_trips_as_json(tiny):
    assert ModelConfig.model_validate_json(tiny.model_dump_json()) == tiny


def test_bundled_models_are_found_by_name(folder, tiny, monkeypatch):
    monkeypatch.setattr(checkpoint, "BUNDLED", folder.parent)
    assert bundled() == ["tiny"]
    assert load("tiny").config == tiny
    with pytest.raises(CheckpointError, match=r"No model 'blowhole': it was bundled until 0\.2\. Use defects:blowhole"):
        load("blowhole")
    with pytest.raises(CheckpointError, match=r"No model 'tinny'.* Did you mean 'tiny'\? Bundled models: tiny"):
        load("tinny")


# ---- whole or not at all ----------------------------------------------------------------------------------


def test_a_checkpoint_is_replaced(folder, tiny, network, card):
    save(folder, tiny.model_copy(update={"name": "second"}), network.state_dict(), card)
    assert load(folder).config.name == "second"
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("failing", ["config.json", "model.safetensors", "README.md"])
def test_a_failed_save_leaves_what_was_there(folder, tiny, network, card, monkeypatch, failing):
    write = checkpoint.write_atomically

    def fail(path, data):
        if path.name == failing:
            raise OSError("disk full")
        return write(path, data)

    monkeypatch.setattr(checkpoint, "write_atomically", fail)
    for target in (folder, folder.with_name("new")):
        with pytest.raises(OSError, match="disk full"):
            save(target, tiny.model_copy(update={"name": "second"}), network.state_dict(), card)
    assert load(folder).config.name == "tiny"
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_a_failed_replacement_brings_the_old_one_back(folder, tiny, network, card, monkeypatch):
    rename = type(folder).rename

    def fail(path, target):
        if path.name == "new":
            raise OSError("no rename")
        return rename(path, target)

    monkeypatch.setattr(type(folder), "rename", fail)
    with pytest.raises(OSError, match="no rename"):
        save(folder, tiny.model_copy(update={"name": "second"}), network.state_dict(), card)
    assert load(folder).config.name == "tiny"


def test_other_files_are_not_overwritten(tmp_path, tiny, network, card):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    with pytest.raises(CheckpointError, match=r"other files there \(thesis.tex\) would be lost"):
        save(tmp_path / "run", tiny, network.state_dict(), card)
    with pytest.raises(CheckpointError, match=r"it is a file; name a folder"):
        save(tmp_path / "run" / "thesis.tex", tiny, network.state_dict(), card)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize(("value", "store_dtype"), [(float("nan"), "float32"), (1e5, "float16")])
def test_weights_that_are_not_finite_are_refused(tmp_path, tiny, network, card, value, store_dtype):
    network.out[2].bias[0] = value
    with pytest.raises(CheckpointError, match=rf"as {store_dtype} hold NaN or infinity \(in out.2.bias\)"):
        save(tmp_path / "bad", tiny, network.state_dict(), card, store_dtype=store_dtype)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_are_not_written(tmp_path, tiny, network, card):
    weights = dict(list(network.state_dict().items())[1:])
    with pytest.raises(
        CheckpointError, match=r"weights of 'tiny' do not fit the network: missing: time_embed.0.weight"
    ):
        save(tmp_path / "bad", tiny, weights, card)
    assert not list(tmp_path.iterdir())


# ---- damaged checkpoints ----------------------------------------------------------------------------------


def test_missing_files_are_named(folder):
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"Cannot read .*model.safetensors.* A checkpoint is a folder with"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"Cannot read .*config.json.*\(No such file or directory\)"):
        load(folder)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="neither a bundled model nor a folder"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_chanels": 3}, r"unknown key 'image_chanels'\. Did you mean 'image_channels'\?"),
        ({"noise": {"kinds": "linear"}}, r"unknown key 'noise.kinds'\. Did you mean 'kind'\?"),
        ({"variance": "learned"}, "variance: Input should be 'fixed-small', 'fixed-large' or 'learned-range'"),
        ({"size": [16, 15]}, "size is 16 x 15; the network needs sides"),
    ],
)
def test_a_wrong_config_is_named(folder, changes, message):
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=f"config.json' is not a model config: .*{message}"):
        load(folder)


def test_a_wrong_key_of_the_network_is_named(folder, tiny):
    edit_config(folder, network={**tiny.network.model_dump(), "model_chanels": 16})
    with pytest.raises(CheckpointError, match=r"unknown key 'model_chanels'\. Did you mean 'model_channels'\?"):
        load(folder)


def test_a_config_that_is_no_json_is_named(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="is not a model config: Invalid JSON"):
        load(folder)


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_truncated_weights_are_named(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model.safetensors' is damaged or not a safetensors file"):
        load(folder)


def test_a_changed_bit_is_noticed(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"but the model card README.md beside it states .* changed or damaged"):
        load(folder)
    (folder / "README.md").unlink()  # a checkpoint without a card is not held against one
    load(folder)


def test_a_damaged_card_is_named(folder):
    (folder / "README.md").write_bytes(b"# t\xff\xfe")
    with pytest.raises(CheckpointError, match=r"Cannot read the model card '.*README.md' \(.*utf-8"):
        load(folder)


def test_swapped_weights_are_named(folder, tiny, make_network):
    other = make_network(unet_with(tiny.network, model_channels=32))
    (folder / "README.md").unlink()
    weights = {key: tensor.contiguous() for key, tensor in other.state_dict().items()}
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="trained with model_channels = 32"):
        load(folder)


def test_every_error_is_one_that_people_see():
    assert issubclass(CheckpointError, DmixError)


# ---- weights that do not fit ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trained_with", "message"),
    [
        ({"resblock_updown": False}, r"unexpected: input_blocks.2.0.op.weight, .* resblock_updown = False"),
        ({"num_classes": 7}, r"unexpected: label_emb.weight\. .* num_classes = 7"),
        ({"model_channels": 32}, r"time_embed.0.weight \(128, 32\) instead of \(64, 16\).* model_channels = 32"),
        ({"out_channels": 4}, r"out.2.weight \(4, 16, 3, 3\) instead of \(8, 16, 3, 3\).* learned-range"),
        ({"in_channels": 3, "out_channels": 6}, r"number of input channels \(in_channels\)"),
        ({"scale_shift_norm": False}, r"trained with another scale_shift_norm"),
        ({"num_res_blocks": 2}, r"and \d+ more.* another channel_mult, num_res_blocks or attention_downsamples"),
        ({"attention_downsamples": (2,)}, r"unexpected: input_blocks.3.1.norm.weight.* or attention_downsamples"),
    ],
)
def test_the_likely_cause_is_named(tiny, trained_with, message):
    weights = UNet(unet_with(tiny.network, **trained_with)).state_dict()
    with pytest.raises(CheckpointError, match=f"^These weights do not fit the network: .*{message}"):
        check_weights(weights, tiny.network, "These weights")


def test_causes_are_named_the_other_way_round_too(tiny):
    weights = UNet(tiny.network).state_dict()
    with pytest.raises(CheckpointError, match=r"missing: input_blocks.2.0.op.weight, .* resblock_updown = True"):
        check_weights(weights, unet_with(tiny.network, resblock_updown=False), "These weights")
    with pytest.raises(CheckpointError, match=r"missing: label_emb.weight\. .* num_classes = None"):
        check_weights(weights, unet_with(tiny.network, num_classes=7), "These weights")
    wrapped = {f"module.{key}": tensor for key, tensor in weights.items()}
    with pytest.raises(CheckpointError, match=r"a parallel wrapper put 'module.' before every name"):
        check_weights(wrapped, tiny.network, "These weights")


def test_a_built_network_is_trainable_and_channels_last(tiny, network):
    weights = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    built = build(tiny.network, weights, "weights")
    assert all(parameter.requires_grad for parameter in built.parameters())
    assert built.input_blocks[1][0].in_layers[2].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("resblock_updown", [False, True])
def test_resampling_without_weights_is_named(tiny, resblock_updown):
    """guided-diffusion's conv_resample = False: pooling and repetition in the place of convolutions."""
    weights = UNet(unet_with(tiny.network, resblock_updown=False)).state_dict()
    pooled = {key: tensor for key, tensor in weights.items() if not key.endswith((".op.weight", ".op.bias"))}
    pooled = {key: tensor for key, tensor in pooled.items() if ".conv." not in key}
    with pytest.raises(CheckpointError, match="conv_resample = False, which this UNet does not have"):
        check_weights(pooled, unet_with(tiny.network, resblock_updown=resblock_updown), "These weights")
