"""Denoisers in closed form: exact answers, without training, in microseconds."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..noise import NoiseSchedule
from ..protocols import Prediction, Spec


@dataclass(frozen=True, eq=False)
class GaussianDenoiser:
    """The exact denoiser of data x_0 ~ N(mean, sd^2), each value on its own.

    Its clean prediction is the posterior mean
    E[x_0 | x_t] = mean + sqrt(a) sd^2 / (a sd^2 + 1 - a) (x_t - sqrt(a) mean), with a = alpha_bar_t.

    Attributes:
        spec: its grid and channels; with a mask channel, mean and sd hold for that too.
        mean: a number, or a tensor that broadcasts to (C+M, h, w).
        sd: likewise, 0 or more; 0 makes it certain of the mean.
    """

    spec: Spec
    mean: float | Tensor = 0.0
    sd: float | Tensor = 1.0
    noise: NoiseSchedule = field(default_factory=NoiseSchedule.linear)

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        a = float(self.noise.alpha_bar[t])
        mean, variance = torch.as_tensor(self.mean).to(x_t), torch.as_tensor(self.sd).to(x_t) ** 2
        gain = a**0.5 * variance / (a * variance + 1 - a)
        return Prediction(mean + gain * (x_t - a**0.5 * mean))


@dataclass(frozen=True, eq=False)
class ConstantDenoiser:
    """Always predicts the same image (C+M, h, w), whose last `mask_channels` channels are the mask."""

    image: Tensor
    mask_channels: int = 0
    noise: NoiseSchedule = field(default_factory=NoiseSchedule.linear)

    @property
    def spec(self) -> Spec:
        channels, height, width = self.image.shape
        return Spec((height, width), channels - self.mask_channels, self.mask_channels)

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        return Prediction(self.image.to(x_t).expand_as(x_t))
