"""Guidance for dmix: wrappers that make a denoiser paint more of what a classifier, or a second denoiser, predicts."""

from collections.abc import Callable, Mapping

from dmix_core import Denoiser
from dmix_core.hookspecs import hookimpl

from .classifier import ClassifierGuidance
from .classifier_free import ClassifierFreeGuidance

__all__ = ["ClassifierFreeGuidance", "ClassifierGuidance", "dmix_wrappers"]


@hookimpl
def dmix_wrappers() -> Mapping[str, Callable[..., Denoiser]]:
    return {"classifier-guidance": ClassifierGuidance, "classifier-free-guidance": ClassifierFreeGuidance}
