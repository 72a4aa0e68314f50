"""The wrapped network predicts the clean image and keeps a denoiser's promises."""

import pytest
import torch
from pydantic import ValidationError

from dmix_core import BoxRegion, Composer
from dmix_core.errors import DenoiserError
from dmix_core.protocols import Denoiser
from dmix_core.testing import check_denoiser
from dmix_models import ModelConfig, NetworkDenoiser, NoiseConfig


class Constant(torch.nn.Module):
    """A network that predicts the same everywhere and remembers its inputs."""

    def __init__(self, value, outputs):
        super().__init__()
        self.value, self.outputs = value, outputs
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x, times, labels=None):
        self.times, self.labels = times, labels
        return torch.cat([v * torch.ones_like(x) for v in self.value], dim=1)


def changed(config: ModelConfig, **changes) -> ModelConfig:
    unet = {**config.network.model_dump(), **changes.pop("network", {})}
    return ModelConfig.model_validate({**config.model_dump(), **changes, "network": unet})


def predicting(config, *value):
    return NetworkDenoiser(config, Constant(value, config.network.out_channels))


def fixed(config, variance="fixed-small", **changes):
    return changed(config, variance=variance, network={"out_channels": 4}, **changes)


def test_it_is_a_denoiser(tiny, network):
    denoiser = NetworkDenoiser(tiny, network)
    assert isinstance(denoiser, Denoiser)
    assert denoiser.spec[:3] == ((16, 16), 3, 1)
    prediction = denoiser(torch.randn(3, 4, 16, 16), 1000)
    assert prediction.clean.shape == prediction.spread.shape == (3, 4, 16, 16)
    assert prediction.clean.abs().max() <= 1


@pytest.mark.parametrize("variance", ["fixed-small", "fixed-large"])
def test_it_keeps_every_promise_of_a_denoiser(tiny, make_network, variance):
    config = fixed(tiny, variance)
    check_denoiser(NetworkDenoiser(config, make_network(config.network)))


def test_the_network_counts_times_from_zero(tiny):
    denoiser = predicting(tiny, 0.1, 0.0)
    for t in (1, 1000):
        denoiser(torch.zeros(2, 4, 16, 16), t)
        assert denoiser.network.times.tolist() == [t - 1]


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_each_kind_of_prediction_finds_the_clean_image(tiny, kind):
    t, clean, noise = 300, 0.4, -0.3
    alpha_bar = NoiseConfig(kind=kind).schedule().alpha_bar[t].item()
    x_t = alpha_bar**0.5 * clean + (1 - alpha_bar) ** 0.5 * noise
    output = {"epsilon": noise, "x0": clean, "v": alpha_bar**0.5 * noise - (1 - alpha_bar) ** 0.5 * clean}
    for prediction, value in output.items():
        denoiser = predicting(fixed(tiny, prediction=prediction, noise={"kind": kind}), value)
        found = denoiser(torch.full((1, 4, 16, 16), x_t), t).clean
        assert torch.allclose(found, torch.full_like(found, clean), atol=1e-5), prediction


def test_the_clean_image_is_clamped(tiny):
    clean = predicting(fixed(tiny, prediction="x0"), 1.7)(torch.zeros(1, 4, 16, 16), 5).clean
    assert clean.unique().tolist() == [1.0]


def test_each_kind_of_variance(tiny):
    x_t = torch.zeros(1, 4, 16, 16)
    assert predicting(fixed(tiny), 0.0)(x_t, 5).spread is None
    assert predicting(fixed(tiny, "fixed-large"), 0.0)(x_t, 5).spread.item() == 1
    assert predicting(tiny, 0.0, -0.5)(x_t, 5).spread.unique().tolist() == [0.25]


def test_bfloat16_is_close_and_answers_in_float32(tiny, network):
    x_t = torch.randn(2, 4, 16, 16)
    exact = NetworkDenoiser(tiny, network)(x_t, 100)
    low = NetworkDenoiser(tiny, network, dtype="bfloat16")(x_t, 100)
    assert low.clean.dtype == low.spread.dtype == torch.float32
    assert 0 < (low.clean - exact.clean).abs().max() < 0.05


def test_no_gradients_and_no_dropout(tiny, make_network):
    config = changed(tiny, network={"dropout": 0.5})
    denoiser = NetworkDenoiser(config, make_network(config.network).train().requires_grad_(True))
    x_t = torch.randn(1, 4, 16, 16)
    first, second = denoiser(x_t, 9).clean, denoiser(x_t, 9).clean
    assert torch.equal(first, second)
    assert not first.requires_grad


def test_the_input_stays_as_it_is(tiny, network):
    x_t = torch.randn(1, 4, 16, 16)
    before = x_t.clone()
    NetworkDenoiser(tiny, network)(x_t, 9)
    assert torch.equal(x_t, before)


def test_a_class_is_chosen_by_name(tiny, make_network):
    config = changed(tiny, classes=["crack", "hole"], network={"num_classes": 2})
    denoiser = NetworkDenoiser(config, make_network(config.network))
    x_t = torch.randn(2, 4, 16, 16)
    hole = denoiser.with_label("hole")
    assert hole.network is denoiser.network
    assert hole.label == "hole"
    assert not torch.equal(hole(x_t, 50).clean, denoiser.with_label("crack")(x_t, 50).clean)
    with pytest.raises(
        DenoiserError, match=r"class-conditional; choose a class with with_label\(...\), such as 'crack'"
    ):
        denoiser(x_t, 50)
    with pytest.raises(DenoiserError, match=r"no class 'holes'\. Did you mean 'hole'\? Its classes: crack, hole"):
        denoiser.with_label("holes")


def test_a_wrong_question_is_named(tiny, network):
    denoiser = NetworkDenoiser(tiny, network)
    for t in (0, 1001):
        with pytest.raises(DenoiserError, match=rf"Level {t} is outside 1\.\.1000, the levels of model 'tiny'"):
            denoiser(torch.zeros(1, 4, 16, 16), t)
    with pytest.raises(DenoiserError, match=r"given \(1, 3, 16, 16\); expected \(B, 4, 16, 16\)"):
        denoiser(torch.zeros(1, 3, 16, 16), 5)
    with pytest.raises(DenoiserError, match=r"'tiny' knows no class 'hole'.* It is not class-conditional"):
        denoiser.with_label("hole")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_channels": 0}, "in_channels 4 and out_channels 8; 3 image and 0 mask channels .* need 3 and 6"),
        ({"variance": "fixed-small"}, "1 mask channels with fixed-small variance need 4 and 4"),
        ({"role": "background"}, "a background has no mask"),
        ({"size": (16, 15)}, "size is 16 x 15; the network needs sides that are multiples of 2"),
        ({"classes": ["a"]}, "classes has 1 names .* network.num_classes is None"),
        ({"classes": ["a", "a"], "network": {"num_classes": 2}}, r"classes has 2 names \(1 different\)"),
        ({"format_version": 3}, "Input should be 2"),
    ],
)
def test_a_model_that_cannot_be_is_refused(tiny, changes, message):
    with pytest.raises(ValidationError, match=message):
        changed(tiny, **changes)


def test_it_moves_and_changes_its_arithmetic_as_modules_do(tiny, network):
    denoiser = NetworkDenoiser(tiny, network)
    assert denoiser.to("cpu", torch.bfloat16) is denoiser
    assert (denoiser.device, denoiser.dtype) == (torch.device("cpu"), "bfloat16")
    composer = Composer([BoxRegion(denoiser)], steps=20)
    assert composer.dtype == torch.bfloat16
    assert composer.to(dtype=torch.float32).dtype == torch.float32
    with pytest.raises(DenoiserError, match="dtype is float16; expected float32 or bfloat16"):
        composer.to(dtype=torch.float16)
