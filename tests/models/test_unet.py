"""The network agrees with guided-diffusion's, in its numbers and in its names."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dmix_core.errors import DenoiserError
from dmix_models import UNet, UNetConfig
from dmix_models.unet_layers import Attention, time_embedding


def config(**changes) -> UNetConfig:
    small = {"in_channels": 3, "out_channels": 3, "model_channels": 16, "num_res_blocks": 1, "norm_groups": 8}
    return UNetConfig(**{**small, "channel_mult": (1, 2), **changes})


def test_names_and_shapes_are_guided_diffusions(reference):
    ours = {key: tuple(tensor.shape) for key, tensor in UNet(reference.config).state_dict().items()}
    assert list(ours.items()) == list(reference.shapes.items())


def test_output_is_guided_diffusions(reference):
    x, times, labels, expected = (reference.tensors.get(key) for key in ("x", "t", "y", "out"))
    network = reference.network()
    assert torch.allclose(network(x, times, labels), expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(network(x, times, labels), expected, rtol=0, atol=1e-5)


def test_one_time_for_the_batch_gives_the_same(reference):
    x, times, labels, expected = (reference.tensors.get(key) for key in ("x", "t", "y", "out"))
    network = reference.network()
    for i in range(len(x)):
        label = None if labels is None else labels[i : i + 1]
        alone = network(torch.stack([x[i], x[i - 1]]), times[i : i + 1], label)[:1]
        assert torch.allclose(alone, expected[i : i + 1], rtol=0, atol=1e-5)


def test_the_other_qkv_order_is_another_network(reference):
    x, times, labels, expected = (reference.tensors.get(key) for key in ("x", "t", "y", "out"))
    other = {"legacy": "new", "new": "legacy"}[reference.config.qkv_order]
    wrong = reference.network(qkv_order=other)(x, times, labels)
    assert (wrong - expected).abs().max() > 1e-2


def test_bfloat16_stays_close(reference):
    x, times, labels, expected = (reference.tensors.get(key) for key in ("x", "t", "y", "out"))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out = reference.network()(x, times, labels)
    assert (out - expected).abs().max() < 0.1 * expected.std()


def test_samples_of_a_batch_do_not_meet(network):
    x, times = torch.randn(4, 4, 16, 16), torch.tensor([0, 10, 500, 999])
    together = network(x, times)
    alone = torch.cat([network(x[i : i + 1], times[i : i + 1]) for i in range(4)])
    assert torch.allclose(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("changes", [{}, {"resblock_updown": False, "scale_shift_norm": False, "dropout": 0.1}])
def test_every_parameter_learns(make_network, autocast, changes):
    network = make_network(config(**changes)).train().requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = network(torch.randn(2, 3, 16, 16), torch.tensor([3, 700])).float().square().mean()
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_starts_by_saying_zero():
    assert UNet(config())(torch.randn(1, 3, 16, 16), torch.tensor([5])).abs().max() == 0


def test_group_norm_in_bfloat16_sums_in_float32(make_network):
    network = make_network(config())
    x = 100 + torch.randn(1, 16, 32, 32)  # a mean that bfloat16 sums over 2048 values would lose
    norm = network.input_blocks[1][0].in_layers[0]
    exact, low = norm(x.bfloat16().float()), norm(x.bfloat16())
    assert (low - exact).abs().max() < 0.05


def test_channels_stay_last_from_the_first_layer_to_the_last(network):
    layouts = []
    for stage in [*network.input_blocks, network.middle_block, *network.output_blocks]:
        stage.register_forward_hook(
            lambda *call: layouts.append(call[-1].is_contiguous(memory_format=torch.channels_last))
        )
    out = network(torch.randn(1, 4, 16, 16), torch.tensor([5]))
    assert layouts
    assert all(layouts)
    assert out.is_contiguous()


def test_time_embedding_is_cosines_then_sines():
    embedding = time_embedding(torch.tensor([0, 250]), 4)
    expected = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.240988, -0.801144, -0.970528, 0.598472]])
    assert torch.allclose(embedding, expected, atol=1e-5)


@given(
    st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=3),
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 2]),
    st.data(),
)
def test_any_network_keeps_the_size(mult, blocks, updown, scale_shift, outputs, data):
    factors = data.draw(st.sets(st.sampled_from([2**level for level in range(len(mult))])))
    network = UNet(
        config(
            channel_mult=mult,
            num_res_blocks=blocks,
            resblock_updown=updown,
            scale_shift_norm=scale_shift,
            out_channels=3 * outputs,
            attention_downsamples=sorted(factors),
            num_heads=2,
        )
    )
    assert network(torch.randn(1, 3, 8, 12), torch.tensor([9])).shape == (1, 3 * outputs, 8, 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_groups": 32}, "16 channels cannot be normalised in norm_groups = 32 groups"),
        ({"channel_mult": (0.01,)}, "0 channels cannot be normalised"),
        ({"num_heads": 3}, "num_heads = 3 cannot split attention on 32 channels"),
        ({"num_head_channels": 64}, "num_head_channels = 64 cannot split attention on 32 channels"),
        (
            {"attention_downsamples": (4,)},
            "attention_downsamples has 4; the levels of channel_mult have the factors 1, 2",
        ),
        ({"out_channels": 4}, "out_channels is 4; expected in_channels = 3, or 6"),
        ({"model_channels": 17, "norm_groups": 1}, "model_channels is 17; the time embedding needs an even number"),
        ({"image_size": 64}, "Extra inputs are not permitted"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_a_wrong_input_is_named():
    network = UNet(config())
    with pytest.raises(DenoiserError, match=r"given \(1, 3, 15, 16\); expected \(B, 3, h, w\) .* multiples of 2"):
        network(torch.zeros(1, 3, 15, 16), torch.tensor([1]))
    with pytest.raises(DenoiserError, match="given class labels, but its num_classes is None"):
        network(torch.zeros(1, 3, 16, 16), torch.tensor([1]), torch.tensor([0]))
    with pytest.raises(DenoiserError, match="given no labels, but its num_classes is 5"):
        UNet(config(num_classes=5))(torch.zeros(1, 3, 16, 16), torch.tensor([1]))


def test_the_upward_half_may_have_heads_of_its_own():
    split = config(attention_downsamples=(1, 2), num_heads=1, num_heads_upsample=4)
    network = UNet(split)

    def heads(blocks):
        return {layer.heads for block in blocks for layer in block if isinstance(layer, Attention)}

    assert (heads(network.input_blocks), network.middle_block[1].heads, heads(network.output_blocks)) == ({1}, 1, {4})
    alike = UNet(split.model_copy(update={"num_heads_upsample": None}))
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in alike.state_dict().items()
    }
    assert split.model_copy(update={"num_head_channels": 8}).heads(32, up=True) == 4  # the width of a head goes first


def test_heads_of_the_upward_half_that_cannot_split_are_refused():
    with pytest.raises(ValidationError, match="num_heads_upsample = 3 cannot split attention on 32 channels"):
        config(num_heads_upsample=3)
