"""What a scheduler's config states of a model: how its noise runs and how its output is read.

How a state moves down is dmix's own business (its stepper and its walk), so the keys that only decide that are left
alone: timestep_spacing, steps_offset, set_alpha_to_one, and those of multistep solvers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dmix_core import NoiseSchedule, PredictionType
from dmix_models import Variance

from .folder import PipelineError, PipelineFolder

PREDICTIONS: dict[str, PredictionType] = {"epsilon": "epsilon", "sample": "x0", "v_prediction": "v"}
VARIANCES: dict[str, Variance] = {
    "fixed_small": "fixed-small",
    "fixed_small_log": "fixed-small",
    "fixed_large": "fixed-large",
    "fixed_large_log": "fixed-large",
    "learned_range": "learned-range",
}


@dataclass(frozen=True)
class Scheduling:
    """A scheduler's config in dmix's words.

    Attributes:
        clip: the range to which clean predictions are clamped; None: they are not.
        threshold: (share of the pixels, highest value) of dynamic thresholding (Saharia et al. 2022); None: without.
    """

    noise: NoiseSchedule
    prediction: PredictionType
    variance: Variance
    clip: float | None
    threshold: tuple[float, float] | None

    @classmethod
    def load(cls, folder: PipelineFolder) -> Scheduling:
        """The scheduler of a pipeline.

        Raises:
            PipelineError: which key of its config has no equivalent.
        """
        import diffusers

        name = folder.parts.get("scheduler", ("", "nothing"))[1]
        scheduler_class = getattr(diffusers, name, None)
        if not (isinstance(scheduler_class, type) and issubclass(scheduler_class, diffusers.SchedulerMixin)):
            raise PipelineError(
                f"The pipeline {str(folder.path)!r} has {name} as its scheduler; "
                "expected one of diffusers' own, such as DDPMScheduler or DDIMScheduler."
            )
        return cls.read(folder.load_config("scheduler", scheduler_class))

    @classmethod
    def read(cls, scheduler: Any) -> Scheduling:
        """As `load`, from the scheduler itself."""
        config = dict(scheduler.config)
        _check(config, type(scheduler).__name__)
        return cls(
            noise=_noise(scheduler, config),
            prediction=PREDICTIONS[config.get("prediction_type", "epsilon")],
            variance=VARIANCES[config.get("variance_type") or "fixed_small"],
            clip=config.get("clip_sample_range", 1.0) if config.get("clip_sample") else None,
            threshold=_threshold(config) if config.get("thresholding") else None,
        )

    def limited(self, clean: Tensor) -> Tensor:
        """A clean prediction (B, C+M, h, w) kept within the range that the scheduler keeps it in."""
        if self.threshold:
            share, most = self.threshold
            high = torch.quantile(clean.abs().flatten(1), share, dim=1).clamp(1, most)[:, None, None, None]
            return clean.clamp(-high, high) / high
        return clean if self.clip is None else clean.clamp(-self.clip, self.clip)


def _threshold(config: Mapping[str, Any]) -> tuple[float, float]:
    return config["dynamic_thresholding_ratio"], config["sample_max_value"]


def _noise(scheduler: Any, config: Mapping[str, Any]) -> NoiseSchedule:
    """The table in float64; the library's own is in float32."""
    steps, low, high = config["num_train_timesteps"], config["beta_start"], config["beta_end"]
    if config.get("trained_betas") is not None:
        return NoiseSchedule.from_betas(torch.as_tensor(config["trained_betas"], dtype=torch.float64))
    match config["beta_schedule"]:
        case "linear":
            return NoiseSchedule.from_betas(torch.linspace(low, high, steps, dtype=torch.float64))
        case "scaled_linear":
            return NoiseSchedule.from_betas(torch.linspace(low**0.5, high**0.5, steps, dtype=torch.float64) ** 2)
        case "squaredcos_cap_v2":
            return NoiseSchedule.cosine(steps)
        case _:
            return NoiseSchedule.from_betas(scheduler.betas.double())


def _check(config: Mapping[str, Any], name: str) -> None:
    def refuse(key: str, expected: str) -> None:
        raise PipelineError(f"The {name}'s config has {key} = {config.get(key)!r}; expected {expected}.")

    if "beta_schedule" not in config or "num_train_timesteps" not in config:
        refuse("beta_schedule", "a table of betas, as DDPMScheduler and DDIMScheduler have")
    if config.get("prediction_type", "epsilon") not in PREDICTIONS:
        refuse("prediction_type", " or ".join(PREDICTIONS))
    if (config.get("variance_type") or "fixed_small") not in VARIANCES:
        refuse("variance_type", " or ".join(VARIANCES))
    if config.get("rescale_betas_zero_snr"):
        refuse("rescale_betas_zero_snr", "False: the highest level of a table of dmix holds a trace of the image")
    if config.get("timestep_type", "discrete") != "discrete":
        refuse("timestep_type", "discrete")
    if config.get("use_flow_sigmas"):
        refuse("use_flow_sigmas", "False")
