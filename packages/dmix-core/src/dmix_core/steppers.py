"""Steppers: how a region's own state moves down, from level t to level s."""

from dataclasses import dataclass

from torch import Tensor

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
