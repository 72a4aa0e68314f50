"""Errors that people see: each states what was given, what was expected and what to try."""

from collections.abc import Iterable
from difflib import get_close_matches


class DmixError(Exception):
    """Base of every error that a user can cause; the command line prints its message without a traceback."""


class GeometryError(DmixError):
    """A box or a size that does not fit the canvas."""


class ScheduleError(DmixError):
    """A noise or timestep schedule that cannot be walked."""


class CompositionError(DmixError):
    """Regions, merge rule and settings that do not fit together."""


class DenoiserError(DmixError):
    """A denoiser broke its promise: wrong shape, NaN or infinity."""


class BackendError(DmixError):
    """A network that a backend cannot run."""


class ImageError(DmixError):
    """A picture that cannot be read or written."""


class WriteError(DmixError):
    """A file or folder that cannot be written; what was there before still is."""


class RecipeError(DmixError):
    """A recipe that cannot be understood."""


class PluginError(DmixError):
    """A name that no plugin provides, that two provide, or that a broken plugin should have provided."""


class DeviceError(DmixError):
    """A device that is not there, or that cannot compute."""


class PluginWarning(UserWarning):
    """A plugin that does something other than what its author meant."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return ' Did you mean ...?' for the closest known name, or '' when none is close."""
    close = get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_fraction(name: str, value: float) -> float:
    """The value, which must be a fraction of the denoising.

    Raises:
        CompositionError: it lies outside of 0..1.
    """
    if not 0 <= value <= 1:
        raise CompositionError(
            f"{name} is {value}; expected a fraction of the denoising, 0 (from the first step) to 1 (never)."
        )
    return value
