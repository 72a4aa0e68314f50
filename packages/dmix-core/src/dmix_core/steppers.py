"""Steppers: how a region's own state moves down, from level t to level s."""

from dataclasses import dataclass

from torch import Tensor

from .noise import NoiseSchedule
from .protocols import Earlier, Prediction


@dataclass(frozen=True)
class Ancestral:
    """Eq. 10, x_s ~ N(mu(x_t, t), Sigma(x_t, t)), by the posterior of eq. 3; without noise into level 0 (DDPM)."""

    def __call__(
        self,
        noise: NoiseSchedule,
        x_t: Tensor,
        prediction: Prediction,
        z: Tensor,
        t: int,
        s: int,
        earlier: Earlier | None,
    ) -> Tensor:
        mean, log_variance = noise.posterior(x_t, prediction.clean, t, s, prediction.spread)
        return mean + (log_variance / 2).exp() * z if s else mean
