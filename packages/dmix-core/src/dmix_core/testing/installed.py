"""Checks of what is installed, by name."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..backends import Compute
from ..discovery import ALLOW_LIST
from ..errors import PluginError, did_you_mean
from ..kinds import Kind
from ..protocols import Denoiser
from ..registry import Registry
from .backend_checks import backend_check
from .model_checks import SPEC, classifier_check, closed_form, denoiser_check, wrapper_check
from .part_checks import exporter_check, merge_rule_check, stepper_check, timestep_schedule_check
from .promises import Check

Setting = tuple[str | None, str, Any]
"""The name that it is for, or None; its key; its value."""
CHECKED = (
    "merge rule",
    "timestep schedule",
    "stepper",
    "denoiser",
    "wrapper",
    "classifier",
    "exporter",
    "backend",
    "layout",
    "format",
)
"""The kinds that have a check; those of layouts and formats are in `dmix_data.testing`."""


class Part(NamedTuple):
    """One thing to check, and the settings that it gets."""

    kind: Kind
    reference: str
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        return self.reference.partition(":")[0]


class Surroundings(NamedTuple):
    """Among what a part is checked: what a wrapper wraps or a classifier looks at, and where to compute."""

    denoiser: str | None = None
    device: str = "cpu"
    limit: float = 10.0
    """How far from 0 a denoiser's predictions may go."""


def parts(name: str, settings: Iterable[Setting], registry: Registry) -> list[Part]:
    """What is to be checked under a name: itself, or all that the plugin of this name provides.

    Raises:
        PluginError: nothing is called so, or a setting is for nothing of it.
    """
    references, settings = _references(name, registry), [*settings]
    found = [_part(*reference, settings, registry, len(references) == 1) for reference in references]
    found = [part for part in found if part.kind in CHECKED]
    for owner, key, _ in settings:
        if not any(key in part.settings and owner in (None, part.name) for part in found):
            typed, checked = f"{owner}.{key}" if owner else key, ", ".join(part.name for part in found)
            raise PluginError(f"--set {typed}: nothing that is checked has such a setting. Checked: {checked}.")
    return found


def _references(name: str, registry: Registry) -> list[tuple[str, Kind]]:
    """The name itself, if something is called so, or all that the plugin of this name provides, or else a path."""
    own = name.partition(":")[0]
    if own in registry.names():
        return [(name, registry.kind_of(own))]
    records = [record for record in registry.plugins if name in (record.name, record.distribution)]
    if not records and os.path.exists(name):
        return [(name, "denoiser")]
    if not records:
        known = [*registry.names(), *(record.distribution for record in registry.plugins)]
        raise PluginError(
            f"Nothing installed is called {name!r}.{did_you_mean(name, known)} Expected a name that a plugin provides, "
            "NAME:ARGUMENT for a model, or a plugin; `dmix plugins` lists them."
        )
    for record in records:
        if record.status != "ok":
            why = f"broken: {record.error}" if record.error else f"left out by the environment variable {ALLOW_LIST}."
            raise PluginError(f"{record} is {why}")
    return [(name, kind) for record in records for kind, names in record.provides.items() for name in names]


def _part(reference: str, kind: Kind, given: Iterable[Setting], registry: Registry, alone: bool) -> Part:
    """With the settings that name it, and those without a name: all if it is alone, else those that it knows."""
    name, _, _ = reference.partition(":")
    mine = {
        key: value
        for owner, key, value in given
        if owner == name or (owner is None and (alone or key in registry.settings(name)))
    }
    return Part(kind, reference, mine)


def part_check(part: Part, registry: Registry, around: Surroundings) -> Check[Any]:
    """The check of a part, which is made for it.

    Raises:
        DmixError: it cannot be made.
    """
    if part.kind in ("denoiser", "wrapper", "classifier"):
        return _model_check(part, registry, around)
    made, device = registry.create(part.kind, part.reference, part.settings, Compute(around.device)), around.device
    match part.kind:
        case "merge rule":
            return merge_rule_check(made, device=device)
        case "stepper":
            return stepper_check(made, device=device)
        case "timestep schedule":
            return timestep_schedule_check(made)
        case "exporter":
            return exporter_check(made)
        case "backend":
            return backend_check(made, device=device)
    raise PluginError(f"There is no check of a {part.kind}.")


def _model_check(part: Part, registry: Registry, around: Surroundings) -> Check[Any]:
    device, compute, limit = around.device, Compute(around.device), around.limit
    if part.kind == "denoiser":
        denoiser = registry.denoiser(part.reference, compute, part.settings)
        return denoiser_check(denoiser, device=device, limit=limit)
    inside = registry.denoiser(around.denoiser, compute) if around.denoiser else None
    if part.kind == "classifier":
        spec, noise = (inside.spec, inside.noise) if inside else (SPEC, None)
        return classifier_check(registry.classifier(part.reference, compute), spec, noise, device=device)

    def wrap(denoiser: Denoiser) -> Denoiser:
        return registry.wrapped(denoiser, part.name, part.settings, compute)

    wrap(inside or closed_form())  # settings that are wrong are no broken promise
    return wrapper_check(wrap, inside, device=device, limit=limit)


def making(part: Part, around: Surroundings) -> list[str]:
    """Python that makes the part, under the name by which the lines of its check call it."""
    settings = part.settings
    calls = {
        "merge rule": f"rule = registry.create('merge rule', {part.name!r}, {settings}, compute)",
        "timestep schedule": f"schedule = registry.create('timestep schedule', {part.name!r}, {settings})",
        "stepper": f"stepper = registry.create('stepper', {part.name!r}, {settings})",
        "backend": f"backend = registry.create('backend', {part.name!r}, {settings})",
        "exporter": f"exporter = registry.create('exporter', {part.name!r}, {settings})",
        "denoiser": f"denoiser = registry.denoiser({part.reference!r}, compute, {settings})",
        "wrapper": f"wrap = lambda denoiser: registry.wrapped(denoiser, {part.name!r}, {settings}, compute)",
        "format": f"format = registry.create('format', {part.name!r}, {settings})",
        "layout": f"layout = registry.create('layout', {part.name!r}, {settings})",
        "classifier": f"classifier = registry.classifier({part.reference!r}, compute)",
    }
    lines = [
        "from dmix_core.backends import Compute",
        "from dmix_core.registry import Registry",
        f"registry, compute = Registry.load(), Compute({around.device!r})",
    ]
    if around.denoiser and part.kind in ("wrapper", "classifier"):
        lines += [f"denoiser = registry.denoiser({around.denoiser!r}, compute)", "noise = denoiser.noise"]
    return [*lines, calls[part.kind]]
