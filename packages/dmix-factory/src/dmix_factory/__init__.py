"""Labelled data sets of composites: planned, composed, checked and written, sample by sample.

from dmix_factory import generate

generate(backgrounds="normal", objects=["defects:blowhole"], per_image="1-3", n=300, val=0.2, out="set")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generate_config import GenerateConfig, ObjectChoice
    from .generating import Report, generate
    from .merging import merge
    from .planning import PlanRecord, plan
    from .verifying import Verdict, verify

_MODULES = {
    "GenerateConfig": "generate_config",
    "ObjectChoice": "generate_config",
    "PlanRecord": "planning",
    "Report": "generating",
    "Verdict": "verifying",
    "generate": "generating",
    "merge": "merging",
    "plan": "planning",
    "verify": "verifying",
}
__all__ = ["GenerateConfig", "ObjectChoice", "PlanRecord", "Report", "Verdict", "generate", "merge", "plan", "verify"]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is asked for, so that the command's help needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
