"""The engines of dmix-factory, through the hook that every plugin uses."""

from collections.abc import Callable, Mapping

from dmix_core.hookspecs import hookimpl

from .engines import Engine
from .pool import Processes
from .slurm import Slurm


@hookimpl
def dmix_engines() -> Mapping[str, Callable[..., Engine]]:
    return {"processes": Processes, "slurm": Slurm}
