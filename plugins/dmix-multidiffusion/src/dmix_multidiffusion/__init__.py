"""Panoramas for dmix: MultiDiffusion and Mixture of Diffusers, as merge rules and as a wrapper around one model."""

from collections.abc import Callable

from dmix_core import MergeRule
from dmix_core.hookspecs import hookimpl

from .panorama import Panorama
from .rules import GaussianWindow, MultiDiffusion, QuarticWindow

__all__ = ["GaussianWindow", "MultiDiffusion", "Panorama", "QuarticWindow", "dmix_merge_rules", "dmix_wrappers"]


@hookimpl
def dmix_merge_rules() -> dict[str, Callable[..., MergeRule]]:
    return {"multidiffusion": MultiDiffusion, "gaussian-window": GaussianWindow, "quartic-window": QuarticWindow}


@hookimpl
def dmix_wrappers() -> dict[str, Callable[..., Panorama]]:
    return {"panorama": Panorama}
