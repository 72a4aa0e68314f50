"""What dmix-core brings along, through the hooks that every plugin uses."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from .backends import Backend, Compiled, Eager
from .errors import PluginError
from .hookspecs import DenoiserFactory, hookimpl
from .inside import Inside
from .merge import HardMask
from .protocols import Denoiser, MergeRule, Stepper, TimestepSchedule
from .steppers import Ancestral, Ddim
from .still import StillImage
from .timesteps import Descent, TailResampling


@hookimpl
def dmix_merge_rules() -> Mapping[str, Callable[..., MergeRule]]:
    return {"hard-mask": HardMask}


@hookimpl
def dmix_timestep_schedules() -> Mapping[str, Callable[..., TimestepSchedule]]:
    return {"tail-resampling": TailResampling, "descent": Descent}


@hookimpl
def dmix_steppers() -> Mapping[str, Callable[..., Stepper]]:
    return {"ancestral": Ancestral, "ddim": Ddim}


@hookimpl
def dmix_backends() -> Mapping[str, Callable[..., Backend]]:
    return {"torch": Eager, "compile": Compiled}


@hookimpl
def dmix_wrappers() -> Mapping[str, Callable[..., Denoiser]]:
    return {"inside": Inside}


@hookimpl
def dmix_denoisers() -> Mapping[str, DenoiserFactory]:
    return {"photo": photo}


def photo(argument: str | Path | None = None, *, device: str = "cpu", dtype: str = "float32") -> StillImage:
    """The picture at the path `argument` as an RGB denoiser, with its alpha as mask channel if it is transparent.

    It is float32 whatever the dtype, to stay bit-identical.
    """
    if argument is None:
        raise PluginError("'photo' needs the path of a picture; expected photo:PATH, such as photo:wall.png.")
    still = StillImage.of(argument)
    return replace(still, image=still.image.to(device))
