"""Checks of what is installed, by name."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from ..backends import Compute
from ..discovery import ALLOW_LIST
from ..errors import PluginError, did_you_mean
from ..kinds import Kind
from ..registry import Registry
from .backend_checks import check_backend
from .checking import Check, Conformance
from .model_checks import check_classifier, check_denoiser, check_wrapper, closed_form
from .part_checks import check_exporter, check_merge_rule, check_stepper, check_timestep_schedule

Setting = tuple[str | None, str, Any]
"""The name that it is for, or None; its key; its value."""
AROUND = ("wrapper", "classifier")
"""The kinds that are checked with a denoiser."""


class Checked(NamedTuple):
    """How a kind is made and checked."""

    called: str
    """The name by which the lines of its check call it."""
    check: Callable[..., Check] | str
    """A text where the package of this kind has it: MODULE:NAME."""
    options: tuple[str, ...] = ()
    """What the check takes of the Surroundings."""
    code: str = "registry.create({kind!r}, {reference!r}, {settings}, compute)"
    """Python that makes a Part."""


_WRAPPED = "lambda denoiser: registry.wrapped(denoiser, {reference!r}, {settings}, compute)"
CHECKED: Mapping[Kind, Checked] = {
    "merge rule": Checked("rule", check_merge_rule.of, ("device",)),
    "timestep schedule": Checked("schedule", check_timestep_schedule.of),
    "stepper": Checked("stepper", check_stepper.of, ("device",)),
    "exporter": Checked("exporter", check_exporter.of),
    "backend": Checked("backend", check_backend.of, ("device",)),
    "layout": Checked("layout", "dmix_data.testing:check_layout"),
    "format": Checked("format", "dmix_data.testing:check_format"),
    "engine": Checked("engine", "dmix_factory.testing:check_engine"),
    "denoiser": Checked(
        "denoiser", check_denoiser.of, ("device", "limit"), "registry.denoiser({reference!r}, compute, {settings})"
    ),
    "wrapper": Checked("wrap", check_wrapper.of, ("device", "limit"), _WRAPPED),
    "classifier": Checked(
        "classifier", check_classifier.of, ("device",), "registry.classifier({reference!r}, compute)"
    ),
}


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


def part_check(part: Part, registry: Registry, around: Surroundings) -> Check:
    """The check of a part, which is made for it.

    Raises:
        DmixError: it cannot be made.
    """
    check, options = _check_of(part.kind), CHECKED[part.kind].options
    return check(*_made(part, registry, around), **{key: getattr(around, key) for key in options})


def _check_of(kind: Kind) -> Callable[..., Check]:
    check = CHECKED[kind].check
    if not isinstance(check, str):
        return check
    module, _, name = check.partition(":")
    try:
        found: Conformance[...] = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise PluginError(f"The check of a {kind} is in {package}, which is not installed ({error}).") from error
    return found.of


def _made(part: Part, registry: Registry, around: Surroundings) -> tuple[Any, ...]:
    """What the check of a part is given, by position."""
    compute = Compute(around.device)
    if part.kind == "denoiser":
        return (registry.denoiser(part.reference, compute, part.settings),)
    if part.kind not in AROUND:
        return (registry.create(part.kind, part.reference, part.settings, compute),)
    inside = registry.denoiser(around.denoiser, compute) if around.denoiser else None
    if part.kind == "classifier":
        return registry.classifier(part.reference, compute), *((inside.spec, inside.noise) if inside else ())
    wrap = partial(registry.wrapped, name=part.name, settings=part.settings, compute=compute)
    wrap(inside or closed_form())  # settings that are wrong are no broken promise
    return wrap, inside


def making(part: Part, around: Surroundings) -> list[str]:
    """Python that makes the part, under the name by which the lines of its check call it."""
    lines = [
        "from dmix_core.backends import Compute",
        "from dmix_core.registry import Registry",
        f"registry, compute = Registry.load(), Compute({around.device!r})",
    ]
    if around.denoiser and part.kind in AROUND:
        lines += [f"denoiser = registry.denoiser({around.denoiser!r}, compute)", "noise = denoiser.noise"]
    checked = CHECKED[part.kind]
    return [*lines, f"{checked.called} = {checked.code.format(**part._asdict())}"]
