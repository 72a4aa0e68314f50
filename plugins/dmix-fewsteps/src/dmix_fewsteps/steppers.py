"""Steppers whose moves may be long: DDIM, and DPM-Solver++ of second order.

Both go by the clean prediction alone: the noise that a state holds is what is left of it,
epsilon = (x_t - sqrt(a_t) x0) / sqrt(1 - a_t) with a_t = alpha_bar of level t. Where a denoiser clamps x0, epsilon
follows it, as in guided-diffusion's ddim_sample (diffusers: use_clipped_model_output=True).
"""

from dataclasses import dataclass
from math import expm1, log, sqrt
from typing import NamedTuple

from torch import Tensor

from dmix_core import Ancestral, NoiseSchedule, Prediction
from dmix_core.errors import ScheduleError, check_fraction


@dataclass(frozen=True)
class Ddim:
    """Denoising diffusion implicit models (Song, Meng & Ermon 2021, eqs. 12 and 16).

    x_s = sqrt(a_s) x0 + sqrt(1 - a_s - sigma^2) epsilon + sigma z, with sigma^2 = eta^2 times beta-tilde of the move.
    With eta = 1 it is the ancestral step with the variance beta-tilde; a learned variance is of no use to it.

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
        if is_late(noise, t, self.ancestral_from):
            return Ancestral().step(noise, x_t, prediction, z, t, s, state)
        clean = prediction.clean
        a_t, a_s = float(noise.alpha_bar[t]), float(noise.alpha_bar[s])
        epsilon = (x_t - sqrt(a_t) * clean) / sqrt(1 - a_t)
        fresh = self.eta**2 * (1 - a_t / a_s) / (1 - a_t)  # sigma^2 / (1 - a_s), 0..1
        return sqrt(a_s) * clean + sqrt(1 - a_s) * (sqrt(1 - fresh) * epsilon + sqrt(fresh) * z), None


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
        if is_late(noise, t, self.ancestral_from):
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


def is_late(noise: NoiseSchedule, t: int, fraction: float) -> bool:
    """Whether a move from level t begins after this fraction of the denoising; for a fraction of 1 none does."""
    return t <= (1 - fraction) * noise.steps + 1e-9


def half_log_snr(noise: NoiseSchedule, t: int) -> float:
    """lambda_t = log(alpha_t / sigma_t), for t > 0."""
    a = float(noise.alpha_bar[t])
    return log(a / (1 - a)) / 2
