"""A merge rule under the right hook, and another one under a hook that does not exist."""

from dmix_core import HardMask
from dmix_core.hookspecs import hookimpl


@hookimpl
def dmix_merge_rules():
    return {"strict": HardMask}


@hookimpl
def dmix_merge_rule():
    return {"lenient": HardMask}
