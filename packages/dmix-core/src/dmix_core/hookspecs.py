"""The hooks that a plugin may implement.

A plugin is a module, named by an entry point of the group "dmix", with one or more of these functions under
`@hookimpl`. None takes an argument; each returns a mapping from names to factories. Names start with a letter or a
digit, go on with letters, digits, "-", "_" and ".", and are unique over all kinds.

A factory's keyword arguments are its settings. Their annotations are checked and strings are converted to them, so
that `--set threshold=0.7` arrives as a float; a ValueError for a bad value is shown without a traceback.
"""

from collections.abc import Callable, Mapping

import pluggy

from .protocols import Denoiser, Exporter, MergeRule, Stepper, TimestepSchedule

hookspec = pluggy.HookspecMarker("dmix")
hookimpl = pluggy.HookimplMarker("dmix")


DenoiserFactory = Callable[..., Denoiser]
"""Called as factory(argument, device="cpu", dtype="float32"): `argument` is what stands behind the colon in
"NAME:ARGUMENT", None if there is none; `dtype` names the arithmetic of its networks."""


@hookspec
def dmix_merge_rules() -> Mapping[str, Callable[..., MergeRule]]:  # type: ignore[empty-body]
    """Merge rules by name, such as {"hard-mask": HardMask}."""


@hookspec
def dmix_timestep_schedules() -> Mapping[str, Callable[..., TimestepSchedule]]:  # type: ignore[empty-body]
    """Timestep schedules by name, such as {"descent": Descent}."""


@hookspec
def dmix_steppers() -> Mapping[str, Callable[..., Stepper]]:  # type: ignore[empty-body]
    """Steppers by name, such as {"ancestral": Ancestral}."""


@hookspec
def dmix_denoisers() -> Mapping[str, DenoiserFactory]:  # type: ignore[empty-body]
    """Denoisers by name, such as {"photo": photo}."""


@hookspec
def dmix_exporters() -> Mapping[str, Callable[..., Exporter]]:  # type: ignore[empty-body]
    """Exporters by name, such as {"coco": Coco}."""
