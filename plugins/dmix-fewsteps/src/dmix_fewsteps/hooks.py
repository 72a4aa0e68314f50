"""The names that this package brings."""

from collections.abc import Callable, Mapping

from dmix_core.hookspecs import hookimpl
from dmix_core.protocols import Stepper, TimestepSchedule

from .steppers import DpmSolver2M
from .walk import FewSteps


@hookimpl
def dmix_steppers() -> Mapping[str, Callable[..., Stepper]]:
    return {"dpm-solver-2m": DpmSolver2M}


@hookimpl
def dmix_timestep_schedules() -> Mapping[str, Callable[..., TimestepSchedule]]:
    return {"few-steps": FewSteps}
