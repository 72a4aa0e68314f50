"""Training losses: the simple one, and the hybrid for a learned variance.

Nichol & Dhariwal, "Improved Denoising Diffusion Probabilistic Models", 2021 (arXiv:2102.09672); equation numbers are
theirs.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dmix_core.noise import NoiseSchedule, PredictionType

from .config import Variance


class Losses(NamedTuple):
    """The loss of each sample, (B,), and its parts."""

    total: Tensor
    simple: Tensor
    bound: Tensor | None
    """The variational bound, in bits per dimension times T / 1000; None for a fixed variance."""
    error: Tensor
    """(B, C + M) mean squared error of each channel, unweighted."""


def hybrid_loss(
    noise_schedule: NoiseSchedule,
    prediction: PredictionType,
    variance: Variance,
    output: Tensor,
    clean: Tensor,
    noise: Tensor,
    t: Tensor,
    channel_weights: Tensor | None = None,
) -> Losses:
    """L_simple + L_vlb (eqs. 14 and 16); L_simple alone for a fixed variance.

    The bound trains the variance only: its mean is detached. Its weight is 1/1000 for a whole table of levels drawn
    uniformly, which T times the expected term stands for: T/1000 times the term of one level.

    Args:
        output: (B, C + M, h, w) of the network; twice the channels with a learned variance.
        clean, noise: x_0 and the standard normal noise that made x_t, (B, C + M, h, w).
        t: (B,) levels, 1..T.
        channel_weights: (C + M,), 1 for all by default.
    """
    predicted = output[:, : clean.shape[1]]
    squares = (noise_schedule.target_for(prediction, clean, noise, t) - predicted) ** 2
    weights = torch.ones(clean.shape[1]) if channel_weights is None else channel_weights
    weights = weights.to(squares)[:, None, None]
    simple, error = _mean(weights * squares), squares.detach().mean((2, 3))
    if variance != "learned-range":
        return Losses(simple, simple, None, error)
    x_t = noise_schedule.diffuse(clean, 0, t, noise)
    guess = noise_schedule.clean_from(prediction, predicted.detach(), x_t, t)
    spread = (output[:, clean.shape[1] :] + 1) / 2
    bound = _mean(weights * bound_term(noise_schedule, clean, x_t, guess, spread, t)) * noise_schedule.steps / 1000
    return Losses(simple + bound, simple, bound, error)


def bound_term(
    noise_schedule: NoiseSchedule, clean: Tensor, x_t: Tensor, guess: Tensor, spread: Tensor, t: Tensor
) -> Tensor:
    """The term of the variational bound at level t, in bits for each value (eqs. 4 to 7).

    Args:
        guess: the model's x_0-hat.
        spread: the model's variance between beta-tilde (0) and beta (1), eq. 15.

    Returns:
        shaped like `clean`: the divergence of q(x_{t-1} | x_t, x_0) from p(x_{t-1} | x_t) where t > 1, and where t = 1
        -log p(x_0 | x_1) of a Gaussian gathered into the 256 values of an 8-bit picture.
    """
    true_mean, true_log_variance = noise_schedule.posterior(x_t, clean, t)
    mean, log_variance = noise_schedule.posterior(x_t, guess, t, spread=spread)
    divergence = normal_divergence(true_mean, true_log_variance, mean, log_variance)
    surprise = -discretized_log_likelihood(clean, mean, log_variance)
    return torch.where((t == 1)[:, None, None, None], surprise, divergence) / math.log(2)


def normal_divergence(mean_p: Tensor, log_variance_p: Tensor, mean_q: Tensor, log_variance_q: Tensor) -> Tensor:
    """KL(p || q) of two normal distributions, in nats."""
    ratio = log_variance_p - log_variance_q
    return 0.5 * (ratio.exp() - 1 - ratio + (mean_p - mean_q) ** 2 * (-log_variance_q).exp())


def discretized_log_likelihood(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log of the mass that a normal distribution has within 1/255 of x, in nats; the outermost bins are open.

    Args:
        x: 8-bit values rescaled to [-1, 1].
    """
    scale = (-0.5 * log_variance).exp()
    above = _normal_cdf(scale * (x - mean + 1 / 255))
    below = _normal_cdf(scale * (x - mean - 1 / 255))
    mass = torch.where(x < -0.999, above, torch.where(x > 0.999, 1 - below, above - below))
    return mass.clamp(min=1e-12).log()


def _normal_cdf(x: Tensor) -> Tensor:
    """The normal distribution function in the tanh approximation, on which published bounds rest."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)
