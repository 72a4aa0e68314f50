"""A stepper whose moves may be long: DPM-Solver++ of second order.

It goes by the clean prediction alone, as `dmix_core.Ddim` does.
"""

from dataclasses import dataclass
from math import expm1, log, sqrt
from typing import NamedTuple

from torch import Tensor

from dmix_core import Ancestral, NoiseSchedule, Prediction
from dmix_core.errors import check_fraction


class Earlier(NamedTuple):
    """The descent before this one."""

    t: int
    """The level from which it went down; above the level of this descent."""
    clean: Tensor
    """The clean prediction there, (B, C+M, h, w)."""


@dataclass(frozen=True)
class DpmSolver2M:
    """DPM-Solver++ of second order, multistep (Lu et al. 2022, algorithm 2), for the probability-flow ODE.

    x_s = sigma_s / sigma_t x_t + alpha_s (1 - exp(-h)) D, with alpha = sqrt(a), sigma = sqrt(1 - a) and h the change of
    lambda = log(alpha / sigma). D extends the line through the last two clean predictions to half of the move. Where
    there is no earlier one, at the start and after a climb, D is x0 itself, which is DDIM with eta = 0; so it is into
    level 0, where h is infinite.

    Attributes:
        ancestral_from: the fraction of the denoising, 0..1, from which moves are ancestral instead; 1 for never.
    """

    ancestral_from: float = 0.9

    def __post_init__(self) -> None:
        check_fraction("ancestral_from", self.ancestral_from)

    def init(self, x_t: Tensor) -> None:
        """There is no earlier descent."""

    def step(
        self,
        noise: NoiseSchedule,
        x_t: Tensor,
        prediction: Prediction,
        z: Tensor,
        t: int,
        s: int,
        state: Earlier | None,
    ) -> tuple[Tensor, Earlier]:
        """x_s from x_t, the clean prediction, and the one before it."""
        now = Earlier(t, prediction.clean)
        if noise.is_late(t, self.ancestral_from):
            return Ancestral().step(noise, x_t, prediction, z, t, s, None)[0], now
        clean = prediction.clean
        if s == 0:
            return clean, now
        a_t, a_s = float(noise.alpha_bar[t]), float(noise.alpha_bar[s])
        h = half_log_snr(noise, s) - half_log_snr(noise, t)
        if state is not None:
            before = half_log_snr(noise, t) - half_log_snr(noise, state.t)
            clean = clean + h / (2 * before) * (clean - state.clean)
        return sqrt((1 - a_s) / (1 - a_t)) * x_t - sqrt(a_s) * expm1(-h) * clean, now


def half_log_snr(noise: NoiseSchedule, t: int) -> float:
    """lambda_t = log(alpha_t / sigma_t), for t > 0."""
    a = float(noise.alpha_bar[t])
    return log(a / (1 - a)) / 2
