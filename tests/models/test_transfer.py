"""Training that begins with another model's weights: of what both have, both predict the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dmix_data.datasets import ObjectCrops, Windows
from dmix_data.loader import Picture
from dmix_models import ModelConfig, UNet, checkpoint
from dmix_models.importers import import_guided
from dmix_models.transfer import FIRST, LAST, like, transferred
from dmix_models.weights import CheckpointError


@pytest.fixture
def ground(tiny) -> ModelConfig:
    """A background model with the network of `tiny`."""
    unet = tiny.network.model_copy(update={"in_channels": 3, "out_channels": 6})
    return tiny.model_copy(update={"name": "ground", "role": "background", "mask_channels": 0, "network": unet})


@pytest.fixture
def saved(tmp_path, make_network, card):
    """Save a config with random weights; gives the folder's name."""

    def save(config: ModelConfig) -> str:
        return str(checkpoint.save(tmp_path / config.name, config, make_network(config.network).state_dict(), card))

    return save


@pytest.fixture
def objects():
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    pixels = np.full((16, 16, 1), 90, np.uint8)
    return ObjectCrops([Picture(Path("a.png"), pixels, mask, class_name="hole")], (16, 16))


def prediction(network: UNet, x: torch.Tensor, label: int | None = None) -> torch.Tensor:
    labels = None if label is None else torch.tensor([label])
    with torch.no_grad():
        return network.eval()(x, torch.tensor([400]), labels)


def test_an_image_network_given_an_empty_mask_says_the_same_of_the_image(ground, saved, objects):
    init = saved(ground)
    model = like(init, "object", objects, "hole")
    assert (model.network.in_channels, model.network.out_channels, model.mask_channels) == (4, 8, 1)
    x = torch.randn(2, 4, 16, 16)
    x[:, 3] = 0
    before, after = prediction(checkpoint.load(init).network, x[:, :3]), prediction(transferred(init, model), x)
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=0, atol=1e-6)
    torch.testing.assert_close(after[:, 4:7], before[:, 3:], rtol=0, atol=1e-6)
    assert not after[:, 7].any()
    assert before.std() > 0.1


def test_the_weights_of_a_new_mask_are_as_large_as_those_of_the_image(ground, saved, objects):
    init = saved(ground)
    first, again = (transferred(init, like(init, "object", objects, "hole")).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    inputs, outputs = first[FIRST].transpose(0, 1), first[f"{LAST}.weight"]
    for slices in (inputs, outputs):
        assert 0.7 < slices[3].square().mean().sqrt() / slices[:3].square().mean().sqrt() < 1.4
    assert not outputs[7].any()


def test_the_loss_of_the_mask_reaches_all_of_its_weights_in_the_first_step(ground, saved, objects):
    init = saved(ground)
    network = transferred(init, like(init, "object", objects, "hole"))
    (network(torch.randn(1, 4, 16, 16), torch.tensor([400]))[:, 3] - 1).square().sum().backward()
    assert network.get_parameter(FIRST).grad[:, 3].abs().max() > 0
    assert network.get_parameter(f"{LAST}.weight").grad[3].abs().max() > 0


@pytest.mark.parametrize("variance", ["fixed-small", "learned-range"])
def test_the_variance_may_be_learned_anew_or_dropped(tiny, saved, objects, variance):
    fixed = tiny.model_copy(
        update={"variance": "fixed-small", "network": tiny.network.model_copy(update={"out_channels": 4})}
    )
    init = saved(fixed if variance == "learned-range" else tiny)
    x = torch.randn(2, 4, 16, 16)
    before = prediction(checkpoint.load(init).network, x)
    after = prediction(transferred(init, like(init, "object", objects, "hole", variance)), x)
    torch.testing.assert_close(after[:, :4], before[:, :4], rtol=0, atol=1e-6)


def test_an_imported_checkpoint_can_be_begun_with(tmp_path, ground, make_network, objects):
    torch.save(make_network(ground.network).state_dict(), tmp_path / "public.pt")
    init = str(import_guided(tmp_path / "public.pt", ground, tmp_path / "public"))
    x = torch.randn(2, 4, 16, 16)
    x[:, 3] = 0
    before = prediction(checkpoint.load(init).network, x[:, :3])
    after = prediction(transferred(init, like(init, "object", objects, "hole")), x)
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=0, atol=1e-6)


def test_classes_go_by_their_names_and_a_new_one_begins_as_the_mean(tiny, saved, objects):
    unet = tiny.network.model_copy(update={"num_classes": 2})
    init = saved(tiny.model_copy(update={"classes": ("crack", "hole"), "network": unet}))
    other = checkpoint.load(init).network
    x = torch.randn(1, 4, 16, 16)

    def turned(*classes):
        return transferred(init, like(init, "object", objects, "x", classes=classes))

    three = turned("hole", "scratch", "crack")
    torch.testing.assert_close(prediction(three, x, 0), prediction(other, x, 1))
    torch.testing.assert_close(prediction(three, x, 2), prediction(other, x, 0))
    assert torch.equal(three.label_emb.weight[1], other.label_emb.weight.mean(0))
    torch.testing.assert_close(prediction(turned(), x), prediction(three, x, 1))


def test_a_plain_network_told_of_classes_says_the_same_for_each(tiny, saved, objects):
    init = saved(tiny)
    x = torch.randn(1, 4, 16, 16)
    begun = transferred(init, like(init, "object", objects, "x", classes=("crack", "hole")))
    before = prediction(checkpoint.load(init).network, x)
    torch.testing.assert_close(prediction(begun, x, 0), before)
    torch.testing.assert_close(prediction(begun, x, 1), before)


def test_an_object_model_can_become_a_background(tiny, saved):
    init = saved(tiny)
    windows = Windows([Picture(Path("a.png"), np.full((16, 16, 1), 90, np.uint8))], (16, 16))
    model = like(init, "background", windows, "x")
    assert transferred(init, model).config.in_channels == 3


def test_weights_of_another_network_are_refused_by_what_differs(tiny, saved):
    init = saved(tiny)
    other = tiny.model_copy(update={"network": tiny.network.model_copy(update={"num_res_blocks": 2})})
    with pytest.raises(CheckpointError, match=r"Cannot begin with the weights of .*tiny.*differs in num_res_blocks"):
        transferred(init, other)
