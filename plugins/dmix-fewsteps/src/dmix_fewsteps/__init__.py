"""Fewer network calls per composite for dmix: steppers that take long moves, and a walk that asks for them."""

from .hooks import dmix_steppers, dmix_timestep_schedules
from .steppers import Ddim, DpmSolver2M
from .walk import FewSteps

__all__ = ["Ddim", "DpmSolver2M", "FewSteps", "dmix_steppers", "dmix_timestep_schedules"]
