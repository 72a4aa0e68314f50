"""Classifier guidance (Dhariwal & Nichol 2021): a denoiser of everything paints what a classifier recognises."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dmix_core import NoiseSchedule, Prediction, Wrapper
from dmix_core.errors import DenoiserError
from dmix_core.protocols import Classifier


@dataclass(frozen=True, eq=False)
class ClassifierGuidance(Wrapper):
    """A denoiser whose score is that of p(x_t) p(y | x_t)^scale, of which the classifier predicts the second factor.

    In terms of the clean prediction (guided-diffusion's condition_score; a = alpha_bar of level t):

        x0 + scale (1 - a) / sqrt(a) grad log p(y | x_t)

    With scale 1 and an exact classifier that is exactly the denoiser of class y, at every level.

    Attributes:
        denoiser: the one that is guided.
        classifier: predicts log p(y | x_t) at the levels of the denoiser's table.
        scale: 0 leaves the denoiser as it is, without asking the classifier; below 0 leads away from the class.
        clamp: bring the guided prediction back to [-1, 1]. Off for models whose values are not pictures.
    """

    classifier: Classifier
    scale: float = 1.0
    clamp: bool = True

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        prediction = self.denoiser(x_t, t)
        if self.scale == 0:
            return prediction
        a_t = float(self.noise.alpha_bar[t])
        shift = (1 - a_t) / a_t**0.5 * log_p_gradient(self.classifier, x_t, t, self.noise)
        clean = prediction.clean + self.scale * shift
        return prediction._replace(clean=clean.clamp(-1, 1) if self.clamp else clean)


def log_p_gradient(classifier: Classifier, x_t: Tensor, t: int, noise: NoiseSchedule) -> Tensor:
    """The gradient of log p(y | x_t) with respect to x_t, for each sample its own.

    Raises:
        DenoiserError: the classifier's answer has another shape than (B,), no gradient, or one that is not finite.
    """
    with torch.inference_mode(False), torch.enable_grad():  # the caller may have switched gradients off
        x_t = x_t.clone().requires_grad_()
        log_p = classifier(x_t, t, noise)
        if log_p.shape != x_t.shape[:1] or not log_p.requires_grad:
            raise DenoiserError(
                f"A classifier answered with shape {tuple(log_p.shape)}"
                f"{'' if log_p.requires_grad else ' and no gradient'} at level {t}; "
                f"expected ({len(x_t)},), the log-probability of each sample, differentiable in x_t."
            )
        (gradient,) = torch.autograd.grad(log_p.sum(), x_t)
    if not bool(gradient.isfinite().all()):
        raise DenoiserError(f"A classifier's gradient is not finite at level {t}; expected log-probabilities.")
    return gradient
