"""The training losses against guided-diffusion's numbers and against what they mean."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dmix_core.noise import NoiseSchedule
from dmix_models.losses import discretized_log_likelihood, hybrid_loss

SCHEDULES = {
    "linear1000_full": NoiseSchedule.linear(),
    "linear1000_250": NoiseSchedule.linear().respace(250),
    "linear1000_ddim25": NoiseSchedule.linear().respace("ddim25"),
    "cosine1000_50": NoiseSchedule.cosine().respace(50),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_losses_are_those_of_guided_diffusion(repo: Path, name: str):
    stored = load_file(repo / "tests/reference/gaussian_diffusion.safetensors")
    of = {key.removeprefix(f"{name}."): value for key, value in stored.items() if key.startswith(name)}
    variance = "learned-range" if "loss_vb" in of else "fixed-small"
    inputs = of["model_output"], of["x0"], of["noise"], of["t"] + 1  # their index 0 is level 1
    losses = hybrid_loss(SCHEDULES[name], "epsilon", variance, *inputs)
    torch.testing.assert_close(losses.simple, of["loss_mse"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(losses.total, of["loss"], atol=1e-5, rtol=1e-5)
    if variance == "learned-range":
        torch.testing.assert_close(losses.bound, of["loss_vb"], atol=1e-5, rtol=1e-5)


@pytest.fixture
def drawn():
    draw = torch.Generator().manual_seed(0)
    clean = torch.rand(3, 4, 8, 8, generator=draw) * 2 - 1
    return clean, torch.randn(3, 4, 8, 8, generator=draw), torch.tensor([2, 300, 1000])


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
def test_a_perfect_network_has_no_loss(drawn, prediction):
    clean, noise, t = drawn
    schedule = NoiseSchedule.linear()
    predicted = schedule.target_for(prediction, clean, noise, t)
    output = torch.cat([predicted, -torch.ones_like(predicted)], dim=1)  # the variance of the posterior, beta-tilde
    losses = hybrid_loss(schedule, prediction, "learned-range", output, clean, noise, t)
    torch.testing.assert_close(losses.total, torch.zeros(3), atol=1e-5, rtol=0)


def test_the_bound_does_not_train_the_mean(drawn):
    clean, noise, t = drawn
    output = torch.randn(3, 8, 8, 8, requires_grad=True)
    losses = hybrid_loss(NoiseSchedule.linear(), "epsilon", "learned-range", output, clean, noise, t)
    (gradient,) = torch.autograd.grad(losses.bound.sum(), output)
    assert gradient[:, :4].abs().max() == 0
    assert gradient[:, 4:].abs().max() > 0


def test_the_mask_channel_has_its_own_weight(drawn):
    clean, noise, t = drawn
    weights = torch.tensor([1.0, 1.0, 1.0, 5.0])
    output = torch.zeros_like(clean)
    losses = hybrid_loss(NoiseSchedule.linear(), "epsilon", "fixed-small", output, clean, noise, t, weights)
    squares = (noise**2).mean((2, 3))
    torch.testing.assert_close(losses.error, squares)
    torch.testing.assert_close(losses.total, (squares[:, :3].sum(1) + 5 * squares[:, 3]) / 4)


@pytest.mark.parametrize("deviation", [1e-3, 0.05, 2.0])
def test_all_pixel_values_share_a_mass_of_one(deviation):
    values = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    mass = discretized_log_likelihood(values, torch.tensor(0.3), 2 * torch.tensor(deviation).log()).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-6)
