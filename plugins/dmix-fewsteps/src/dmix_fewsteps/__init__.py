"""Fewer network calls per composite for dmix: a stepper that takes long moves, and a walk that asks for them."""

from .hooks import dmix_steppers, dmix_timestep_schedules
from .steppers import DpmSolver2M
from .walk import FewSteps

__all__ = ["DpmSolver2M", "FewSteps", "dmix_steppers", "dmix_timestep_schedules"]
