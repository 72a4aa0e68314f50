"""The noise schedule: a float64 table of alpha-bar, and everything that follows from it.

Levels run from 0 (clean, alpha_bar = 1) to T (noise). Level t is index t - 1 of the tables in the literature's code.
Tables are float64; a value becomes the dtype of the tensor it multiplies only at that moment.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, repeat
from typing import Literal, cast

import torch
from torch import Tensor

from .errors import ScheduleError

PredictionType = Literal["epsilon", "x0", "v"]
Level = int | Tensor  # one level for the whole batch, or a (B,) LongTensor with a level for each sample


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """A forward process q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I) on levels 0..T.

    Attributes:
        alpha_bar: (T+1,) float64, alpha_bar[0] = 1, strictly decreasing, positive.
        levels: for each level, the level of the table that this one was respaced from (itself if it was not).
    """

    alpha_bar: Tensor = field(repr=False)
    levels: tuple[int, ...] = field(repr=False)

    def __post_init__(self) -> None:
        table = self.alpha_bar
        if table.dtype != torch.float64 or table.ndim != 1 or len(table) < 2 or len(self.levels) != len(table):
            raise ScheduleError(
                f"A noise schedule needs a float64 table of at least two levels and as many level names; "
                f"got {table.dtype} of shape {tuple(table.shape)} and {len(self.levels)} names."
            )
        if table[0] != 1 or not bool((table[1:] < table[:-1]).all()) or table[-1] <= 0:
            raise ScheduleError(
                "alpha_bar must start at 1 (clean), fall strictly and stay positive; this table does not."
            )

    # ---- tables ---------------------------------------------------------------------------------------------

    @classmethod
    def from_alpha_bar(cls, alpha_bar: Tensor) -> "NoiseSchedule":
        """A schedule from its (T+1,) table, level 0 included."""
        return cls(alpha_bar.double(), tuple(range(len(alpha_bar))))

    @classmethod
    def from_betas(cls, betas: Tensor) -> "NoiseSchedule":
        """A schedule from the (T,) variances of its single steps, alpha_bar_t = prod (1 - beta).

        Raises:
            ScheduleError: a beta outside of 0..1, both ends excluded.
        """
        if not bool(((betas > 0) & (betas < 1)).all()):
            raise ScheduleError(
                f"Betas lie between 0 and 1; these go from {float(betas.min()):.4g} to {float(betas.max()):.4g}. "
                "The linear schedule needs at least 21 steps; for fewer, respace a longer one."
            )
        return cls.from_alpha_bar(torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas.double()).cumprod(0)]))

    @classmethod
    def linear(cls, steps: int = 1000) -> "NoiseSchedule":
        """Linear betas from 1e-4 to 0.02 at 1000 steps, scaled for other lengths (Ho et al. 2020)."""
        scale = 1000 / _positive(steps)
        return cls.from_betas(torch.linspace(scale * 1e-4, scale * 0.02, steps, dtype=torch.float64))

    @classmethod
    def cosine(cls, steps: int = 1000) -> "NoiseSchedule":
        """alpha_bar = cos^2((t/T + 0.008) / 1.008 * pi/2), betas capped at 0.999 (Nichol & Dhariwal 2021, eq. 17)."""

        def curve(u: float) -> float:
            return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

        pairs = ((i / _positive(steps), (i + 1) / steps) for i in range(steps))
        return cls.from_betas(
            torch.tensor([min(1 - curve(b) / curve(a), 0.999) for a, b in pairs], dtype=torch.float64)
        )

    @property
    def steps(self) -> int:
        """T, the number of levels above the clean one."""
        return len(self.alpha_bar) - 1

    def is_late(self, t: int, fraction: float) -> bool:
        """Whether a move from level t begins after this fraction of the denoising; for a fraction of 1 none does."""
        return t <= (1 - fraction) * self.steps + 1e-9

    @property
    def betas(self) -> Tensor:
        """(T,) float64 variances of the single steps, beta_t = 1 - alpha_bar_t / alpha_bar_{t-1}."""
        return 1 - self.alpha_bar[1:] / self.alpha_bar[:-1]

    def respace(self, spacing: int | str) -> "NoiseSchedule":
        """The schedule on a subset of its levels; betas follow from the alpha-bar that are kept.

        Args:
            spacing: a number of levels ("250" and 250 mean the same), "ddimN" for N levels at an integer stride from
                the first (as DDIM), or "10,15,20" for that many in equal sections of the table.

        Raises:
            ScheduleError: more levels than there are, or no integer stride that gives N.
        """
        kept = (0, *(index + 1 for index in spaced_indices(self.steps, spacing)))
        return NoiseSchedule(self.alpha_bar[list(kept)], tuple(self.levels[k] for k in kept))

    # ---- the forward process --------------------------------------------------------------------------------

    def diffuse(self, x: Tensor, s: Level, t: Level, noise: Tensor) -> Tensor:
        """Carry x from level s up to level t: q(x_t | x_s) (eq. 1 for t = s + 1, eq. 4 for s = 0).

        Args:
            x: (B, C, h, w) at level s.
            noise: standard normal, shaped like x.
        """
        if isinstance(s, int) and isinstance(t, int) and not 0 <= s <= t <= self.steps:
            raise ScheduleError(f"Cannot diffuse from level {s} to level {t}; expected 0 <= s <= t <= {self.steps}.")
        kept = self._at(t, x) / self._at(s, x)
        return _as(kept**0.5, x) * x + _as((1 - kept) ** 0.5, x) * noise

    def posterior(
        self, x_t: Tensor, clean: Tensor, t: Level, s: Level | None = None, spread: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_s | x_t, x_0 = clean), s = t - 1 if not given (eq. 3; Ho et al. 2020, eq. 7).

        The variance lies between beta-tilde (spread 0 or None: "fixed-small") and beta (spread 1: "fixed-large"),
        interpolated in the log domain (Nichol & Dhariwal 2021, eq. 15). Into level 0, where beta-tilde is zero,
        it is that of the level above, so that the logarithm exists; a sampler adds no noise there.

        Returns:
            mean (B, C, h, w) and log-variance, which broadcasts against it.
        """
        s = t - 1 if s is None else s
        mean = self.posterior_mean(x_t, clean, t, s)
        low = _as(_log(self._beta_tilde(t, s, x_t)), x_t)
        if spread is None:
            return mean, torch.as_tensor(low, dtype=x_t.dtype, device=x_t.device)
        high = _as(_log(1 - self._at(t, x_t) / self._at(s, x_t)), x_t)
        return mean, spread * high + (1 - spread) * low

    def posterior_mean(self, x_t: Tensor, clean: Tensor, t: Level, s: Level) -> Tensor:
        """The mean (B, C, h, w) of p(x_s | x_t, x_0 = clean), Ho et al. 2020, eq. 7."""
        a_t, a_s = self._at(t, x_t), self._at(s, x_t)
        beta = 1 - a_t / a_s
        state = _as((a_t / a_s) ** 0.5 * (1 - a_s) / (1 - a_t), x_t) * x_t
        return _as(a_s**0.5 * beta / (1 - a_t), x_t) * clean + state

    def posterior_deviation(self, t: int, s: int, dtype: torch.dtype) -> float:
        """The standard deviation of p(x_s | x_t, x_0) with the variance beta-tilde, rounded as this dtype rounds it."""
        key = t, s, dtype
        if key not in self._deviations:
            log_variance = torch.tensor(_log(self._beta_tilde(t, s, self.alpha_bar)), dtype=dtype)
            self._deviations[key] = float((log_variance / 2).exp())
        return self._deviations[key]

    def _beta_tilde(self, t: Level, s: Level, like: Tensor) -> "float | Tensor":
        a_t, a_s = self._at(_at_least(min(2, self.steps), t), like), self._at(_at_least(1, s), like)
        return (1 - a_t / a_s) * (1 - a_s) / (1 - a_t)

    # ---- what a network predicts -----------------------------------------------------------------------------

    def clean_from(self, prediction: PredictionType, output: Tensor, x_t: Tensor, t: Level) -> Tensor:
        """The clean image x0-hat that a network's output stands for (v: Salimans & Ho 2022)."""
        a_t = self._at(t, x_t)
        match prediction:
            case "epsilon":
                return _as(a_t**-0.5, x_t) * x_t - _as((1 / a_t - 1) ** 0.5, x_t) * output
            case "x0":
                return output
            case "v":
                return _as(a_t**0.5, x_t) * x_t - _as((1 - a_t) ** 0.5, x_t) * output

    def target_for(self, prediction: PredictionType, clean: Tensor, noise: Tensor, t: Level) -> Tensor:
        """What a network of this prediction type should predict from diffuse(clean, 0, t, noise)."""
        a_t = self._at(t, clean)
        match prediction:
            case "epsilon":
                return noise
            case "x0":
                return clean
            case "v":
                return _as(a_t**0.5, clean) * noise - _as((1 - a_t) ** 0.5, clean) * clean

    def _at(self, level: Level, like: Tensor) -> "float | Tensor":
        """alpha_bar at a level: a Python float for one level, a (B, 1, 1, 1) float64 tensor for a batch of them."""
        if isinstance(level, int):
            return self._floats[level]
        home = torch.device("cpu") if level.device.type == "mps" else level.device  # MPS knows no float64
        return self.alpha_bar.to(home)[level.to(home)].reshape(-1, *[1] * (like.ndim - 1))

    @cached_property
    def _deviations(self) -> dict[tuple[int, int, torch.dtype], float]:
        return {}

    @cached_property
    def _floats(self) -> list[float]:
        return cast(list[float], self.alpha_bar.tolist())


def spaced_indices(steps: int, spacing: int | str) -> list[int]:
    """The indices 0..steps-1 that a respacing keeps, as in improved diffusion (Nichol & Dhariwal 2021, section 4)."""
    text = str(spacing)
    if text.startswith("ddim") and text[4:].isdigit():
        return _ddim_indices(steps, int(text[4:]))
    try:
        counts = [int(count) for count in text.split(",")]
    except ValueError:
        raise ScheduleError(
            f"Cannot respace to {text!r}. Expected a number of levels (250), 'ddim25', or sections '10,15,20'."
        ) from None
    sizes = [steps // len(counts) + (i < steps % len(counts)) for i in range(len(counts))]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [start + i for start, size, count in zip(starts, sizes, counts, strict=True) for i in _section(size, count)]


def _section(size: int, count: int) -> list[int]:
    """`count` indices spread evenly over 0..size-1, both ends included."""
    if not 1 <= count <= size:
        raise ScheduleError(
            f"Cannot take {count} levels out of {size}. Expected between 1 and {size}: "
            "use fewer steps, or a model trained with more."
        )
    stride = (size - 1) / max(count - 1, 1)
    # summed, not multiplied: where a position falls between two indices, it rounds as in guided-diffusion
    return [round(position) for position in accumulate(repeat(stride, count - 1), initial=0.0)]


def _ddim_indices(steps: int, count: int) -> list[int]:
    for stride in range(1, steps):
        indices = list(range(0, steps, stride))
        if len(indices) == count:
            return indices
    raise ScheduleError(
        f"No integer stride takes {count} of {steps} levels; try {count} without 'ddim', or another number."
    )


def _positive(steps: int) -> int:
    if steps < 1:
        raise ScheduleError(f"A noise schedule needs at least 1 step; got {steps}.")
    return steps


def _as(value: "float | Tensor", like: Tensor) -> "float | Tensor":
    return value if isinstance(value, float) else value.to(like.dtype).to(like.device)


def _log(value: "float | Tensor") -> "float | Tensor":
    return math.log(max(value, 1e-20)) if isinstance(value, float) else value.clamp(min=1e-20).log()


def _at_least(least: int, level: Level) -> Level:
    return max(least, level) if isinstance(level, int) else level.clamp(min=least)
