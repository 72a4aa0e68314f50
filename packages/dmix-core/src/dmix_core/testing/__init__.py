"""For plugin authors: conformance checks, hypothesis strategies and denoisers in closed form.

    from dmix_core.testing import check_merge_rule

    def test_it_is_a_merge_rule():
        check_merge_rule(MyRule())

Each check raises a BrokenPromise, an AssertionError that states which promise was broken, by which input, and with
which lines of Python to see it again. Hypothesis is needed: `pip install "dmix-core[testing]"`.

Promised by all: the same input gives the same bits; a sample comes out the same alone and in its batch, up to
`tolerance`, since sums may run in another order; what is given and the global random generators are left alone; what
computes on tensors gives them the dtype and device of its input. Inputs are drawn by hypothesis, `examples` of them,
always the same ones, and shrunk to the simplest that breaks a promise; `device` is where what is checked computes.
"""

try:
    import hypothesis  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'dmix_core.testing needs hypothesis; install it with pip install "dmix-core[testing]".', name="hypothesis"
    ) from error

from .backend_checks import check_backend
from .checking import BrokenPromise
from .denoisers import ConstantDenoiser, GaussianDenoiser
from .model_checks import check_classifier, check_denoiser, check_wrapper
from .part_checks import check_exporter, check_merge_rule, check_stepper, check_timestep_schedule
from .region_checks import check_region
from .strategies import Move, Scene, boxes, layers, moves, noise_schedules, scenes, walks

__all__ = [
    "BrokenPromise",
    "ConstantDenoiser",
    "GaussianDenoiser",
    "Move",
    "Scene",
    "boxes",
    "check_backend",
    "check_classifier",
    "check_denoiser",
    "check_exporter",
    "check_merge_rule",
    "check_region",
    "check_stepper",
    "check_timestep_schedule",
    "check_wrapper",
    "layers",
    "moves",
    "noise_schedules",
    "scenes",
    "walks",
]
