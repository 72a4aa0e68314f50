"""A name of its own, and one that dmix-core has."""

from dmix_core import HardMask
from dmix_core.hookspecs import hookimpl


@hookimpl
def dmix_merge_rules():
    return {"hard-mask": HardMask, "harder-mask": HardMask}
