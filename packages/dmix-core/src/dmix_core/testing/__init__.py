"""For plugin authors: conformance checks, hypothesis strategies and denoisers in closed form.

    from dmix_core.testing import check_merge_rule

    def test_it_is_a_merge_rule():
        check_merge_rule(MyRule())

Each check raises an AssertionError that says which promise was broken, and by which input. Hypothesis is needed:
`pip install "dmix-core[testing]"`.
"""

from .checks import check_denoiser, check_merge_rule, check_timestep_schedule
from .denoisers import ConstantDenoiser, GaussianDenoiser
from .strategies import Scene, boxes, layers, noise_schedules, scenes, walks

__all__ = [
    "ConstantDenoiser",
    "GaussianDenoiser",
    "Scene",
    "boxes",
    "check_denoiser",
    "check_merge_rule",
    "check_timestep_schedule",
    "layers",
    "noise_schedules",
    "scenes",
    "walks",
]
