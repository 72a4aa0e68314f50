"""The UNet's form for inference: the module's bits, whatever becomes of the module."""

import pytest
import torch

from dmix_core.backends import Eager, Inputs
from dmix_models import UNetConfig
from dmix_models import unet_inference as inference

CONFIGS = {
    "residual resampling": {},
    "plain resampling": {"resblock_updown": False},
    "time added": {"scale_shift_norm": False, "resblock_updown": False},
    "classes": {"num_classes": 3},
    "legacy heads": {"qkv_order": "legacy", "num_heads": 2},
}


def network(**changes):
    """A small network with weights that are nowhere zero."""
    torch.manual_seed(0)
    made = UNetConfig(
        in_channels=4,
        out_channels=8,
        model_channels=16,
        channel_mult=(1, 2, 2),
        norm_groups=4,
        num_res_blocks=1,
        attention_downsamples=(2,),
        **changes,
    ).build()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("batch", "side"), [(1, 16), (1, 64), (3, 16)])
@torch.no_grad()
def test_the_bits_of_the_module(name, batch, side):
    made = network(**CONFIGS[name])
    fast = made.for_inference()
    x = torch.randn(batch, 4, side, side)
    for t in (3, 997, 3):
        labels = {"labels": torch.tensor([t % 3])} if made.config.num_classes else {}
        expected = made(x, torch.tensor([t]), **labels)
        kept = x.clone()
        assert torch.equal(fast(x, torch.tensor([t]), *labels.values()), expected)
        assert torch.equal(x, kept)


@torch.no_grad()
def test_each_image_has_its_label():
    made = network(num_classes=3)
    fast, x, times = made.for_inference(), torch.randn(3, 4, 16, 16), torch.tensor([5])
    for labels in (torch.tensor([0, 2, 1]), torch.tensor([1, 1, 0])):
        assert torch.equal(fast(x, times, labels), made(x, times, labels))


@torch.no_grad()
def test_it_follows_the_weights():
    made, other = network(), network()
    fast, x, times = made.for_inference(), torch.randn(1, 4, 16, 16), torch.tensor([5])
    before = fast(x, times)
    for parameter in other.parameters():
        parameter.mul_(1.1)
    made.input_blocks[1][0].in_layers[2].weight.mul_(2)  # in place
    assert torch.equal(fast(x, times), made(x, times))
    made.load_state_dict(other.state_dict())
    assert torch.equal(fast(x, times), other(x, times))
    made.out[2].weight = torch.nn.Parameter(made.out[2].weight * 3)  # another one
    assert torch.equal(fast(x, times), made(x, times))
    made.out[2].weight.data = made.out[2].weight.data / 2  # the same one elsewhere
    assert torch.equal(fast(x, times), made(x, times))
    assert not torch.equal(fast(x, times), before)


def test_what_it_is_not_made_for_goes_to_the_module(monkeypatch):
    made = network()
    fast, x, times = made.for_inference(), torch.randn(2, 4, 16, 16), torch.tensor([5])
    monkeypatch.setattr(inference, "Layers", lambda network: pytest.fail("it was used"))
    assert fast(x, times).requires_grad  # where gradients are wanted
    with torch.no_grad():
        assert torch.equal(fast(x, torch.tensor([5, 9])), made(x, torch.tensor([5, 9])))  # a time for each image
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(fast(x, times), made(x, times))
        made.train()
        fast(x, times)


@torch.no_grad()
def test_the_norms_of_few_levels_are_kept(monkeypatch):
    monkeypatch.setattr(inference, "LEVELS", 2)
    made = network()
    fast, x = made.for_inference(), torch.randn(1, 4, 16, 16)
    for t in range(5):
        assert torch.equal(fast(x, torch.tensor([t])), made(x, torch.tensor([t])))
    assert len(fast._norms) == 2


@torch.no_grad()
def test_torch_runs_it_in_the_modules_place(monkeypatch):
    made = network()
    running = Eager()(made, Inputs(4, (16, 16), 0, torch.device("cpu"), "float32"))
    monkeypatch.setattr(made, "forward", lambda *given: pytest.fail("the module was called"))
    if inference.AVAILABLE:
        assert running(torch.randn(1, 4, 16, 16), torch.tensor([5])).shape == (1, 8, 16, 16)
