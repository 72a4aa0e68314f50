"""Steppers: how a region's own state moves down, from level t to level s."""

from dataclasses import dataclass
from math import sqrt

from torch import Tensor

from .errors import ScheduleError, check_fraction
from .noise import NoiseSchedule
from .protocols import Prediction


@dataclass(frozen=True)
class Ancestral:
    """Eq. 10, x_s ~ N(mu(x_t, t), Sigma(x_t, t)), by the posterior of eq. 3; without noise into level 0 (DDPM)."""

    def init(self, x_t: Tensor) -> None:
        """It remembers nothing."""

    def step(
        self, noise: NoiseSchedule, x_t: Tensor, prediction: Prediction, z: Tensor, t: int, s: int, state: None
    ) -> tuple[Tensor, None]:
        """x_s from x_t and the clean prediction alone."""
        clean, spread = prediction
        if s == 0:
            return noise.posterior_mean(x_t, clean, t, s), None
        if spread is None:
            return noise.posterior_mean(x_t, clean, t, s) + noise.posterior_deviation(t, s, x_t.dtype) * z, None
        mean, log_variance = noise.posterior(x_t, clean, t, s, spread)
        return mean + (log_variance / 2).exp() * z, None


@dataclass(frozen=True)
class Ddim:
    """Denoising diffusion implicit models (Song, Meng & Ermon 2021, eqs. 12 and 16).

    x_s = sqrt(a_s) x0 + sqrt(1 - a_s - sigma^2) epsilon + sigma z, with sigma^2 = eta^2 times beta-tilde of the move.
    With eta = 1 it is the ancestral step with the variance beta-tilde; a learned variance is of no use to it. The noise
    that a state holds is what the clean prediction leaves of it, epsilon = (x_t - sqrt(a_t) x0) / sqrt(1 - a_t) with
    a_t = alpha_bar of level t; where a denoiser clamps x0, epsilon follows it, as in guided-diffusion's ddim_sample
    (diffusers: use_clipped_model_output=True).

    Attributes:
        eta: how much of the noise is new at each move: 0 (none: the probability-flow ODE) to 1.
        ancestral_from: the fraction of the denoising, 0..1, from which moves are ancestral instead; 1 for never.
    """

    eta: float = 0.0
    ancestral_from: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ScheduleError(f"eta is {self.eta}; expected 0 (no new noise) to 1 (as much as ancestral sampling).")
        check_fraction("ancestral_from", self.ancestral_from)

    def init(self, x_t: Tensor) -> None:
        """It remembers nothing."""

    def step(
        self, noise: NoiseSchedule, x_t: Tensor, prediction: Prediction, z: Tensor, t: int, s: int, state: None
    ) -> tuple[Tensor, None]:
        """x_s from x_t and the clean prediction alone."""
        if noise.is_late(t, self.ancestral_from):
            return Ancestral().step(noise, x_t, prediction, z, t, s, state)
        clean = prediction.clean
        a_t, a_s = float(noise.alpha_bar[t]), float(noise.alpha_bar[s])
        epsilon = (x_t - sqrt(a_t) * clean) / sqrt(1 - a_t)
        fresh = self.eta**2 * (1 - a_t / a_s) / (1 - a_t)  # sigma^2 / (1 - a_s), 0..1
        return sqrt(a_s) * clean + sqrt(1 - a_s) * (sqrt(1 - fresh) * epsilon + sqrt(fresh) * z), None
