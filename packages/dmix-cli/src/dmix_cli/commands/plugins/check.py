"""`dmix plugins check`: its work."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from dmix_core.backends import Compute
from dmix_core.errors import DmixError, PluginError, did_you_mean
from dmix_core.protocols import Denoiser
from dmix_core.registry import ALLOW_LIST, Kind, Registry
from dmix_core.testing import BrokenPromise
from dmix_core.testing.checks import exporter_check, merge_rule_check, stepper_check, timestep_schedule_check
from dmix_core.testing.model_checks import SPEC, classifier_check, closed_form, denoiser_check, wrapper_check
from dmix_core.testing.promises import Check

from .failures import wrong_use
from .parameters import Setting


@dataclass(frozen=True)
class Options:
    """What was typed."""

    name: str
    settings: tuple[Setting, ...]
    denoiser: str | None
    device: str
    limit: float
    examples: int | None


@dataclass(frozen=True)
class Part:
    """One thing to check, and the settings that it gets."""

    kind: Kind
    reference: str
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        return self.reference.partition(":")[0]


def run(options: Options) -> None:
    """Check what was named and tell every promise; exit code 1 if one is broken or nothing could be checked."""
    registry = Registry.load()
    with wrong_use():
        parts = _parts(options, registry)
        if len(parts) == 1:
            _check(parts[0], registry, options)  # what cannot be made was typed wrongly
    found = {part.reference: _findings(part, registry, options) for part in parts}
    findings = [finding for each in found.values() for finding in each]
    left_out = [reference for reference, each in found.items() if not each]
    without = f" Not checked: {', '.join(left_out)}." if left_out else ""
    if broken := sum(isinstance(finding, BrokenPromise) for finding in findings):
        raise click.ClickException(f"{options.name} breaks {broken} of {len(findings)} promises.{without}")
    if not findings:
        raise click.ClickException(f"Nothing of {options.name} could be checked.")
    click.echo(f"{options.name} keeps all {len(findings)} promises.{without}")


def _findings(part: Part, registry: Registry, options: Options) -> list[BrokenPromise | str]:
    """What the check of one part finds, told as well; nothing where it cannot be made."""
    click.echo(f"{part.kind} {part.reference}")
    try:
        check = _check(part, registry, options)
    except DmixError as error:
        click.echo(f"  not checked: {error}")
        return []
    findings = check.report()
    for finding in findings:
        click.echo(f"  kept    {finding}" if isinstance(finding, str) else _told(finding, _making(part, options)))
    return findings


# ---- what to check ----------------------------------------------------------------------------------------------


def _parts(options: Options, registry: Registry) -> list[Part]:
    references = _references(options.name, registry)
    parts = [_part(reference, options.settings, registry, len(references) == 1) for reference in references]
    for owner, key, _ in options.settings:
        if not any(key in part.settings and owner in (None, part.name) for part in parts):
            typed, checked = f"{owner}.{key}" if owner else key, ", ".join(part.name for part in parts)
            raise PluginError(f"--set {typed}: nothing that is checked has such a setting. Checked: {checked}.")
    return parts


def _references(name: str, registry: Registry) -> list[str]:
    """The name itself, if something is called so, or all that the plugin of this name provides."""
    if name.partition(":")[0] in registry.names() or Path(name).exists():
        return [name]
    records = [record for record in registry.plugins if name in (record.name, record.distribution)]
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
    return [name for record in records for names in record.provides.values() for name in names]


def _part(reference: str, given: Iterable[Setting], registry: Registry, alone: bool) -> Part:
    """With the settings that name it, and those without a name: all if it is alone, else those that it knows."""
    name, _, _ = reference.partition(":")
    kind: Kind = registry.kind_of(name) if name in registry.names() else "denoiser"  # else the path of one
    mine = (
        setting
        for setting in given
        if setting.owner == name or (setting.owner is None and (alone or setting.key in registry.settings(name)))
    )
    return Part(kind, reference, {setting.key: setting.value for setting in mine})


# ---- checks -----------------------------------------------------------------------------------------------------


def _check(part: Part, registry: Registry, options: Options) -> Check[Any]:
    check = _model_check(part, registry, options) if part.kind in _MODELS else _own_check(part, registry, options)
    return replace(check, examples=options.examples or check.examples)


_MODELS = ("denoiser", "wrapper", "classifier")


def _own_check(part: Part, registry: Registry, options: Options) -> Check[Any]:
    made = registry.create(part.kind, part.reference, part.settings, Compute(options.device))
    match part.kind:
        case "merge rule":
            return merge_rule_check(made, device=options.device)
        case "stepper":
            return stepper_check(made, device=options.device)
        case "timestep schedule":
            return timestep_schedule_check(made)
        case _:
            return exporter_check(made)


def _model_check(part: Part, registry: Registry, options: Options) -> Check[Any]:
    device, compute, limit = options.device, Compute(options.device), options.limit
    if part.kind == "denoiser":
        denoiser = registry.denoiser(part.reference, compute, part.settings)
        return denoiser_check(denoiser, device=device, limit=limit)
    inside = registry.denoiser(options.denoiser, compute) if options.denoiser else None
    if part.kind == "classifier":
        spec, noise = (inside.spec, inside.noise) if inside else (SPEC, None)
        return classifier_check(registry.classifier(part.reference, compute), spec, noise, device=device)

    def wrap(denoiser: Denoiser) -> Denoiser:
        return registry.wrapped(denoiser, part.name, part.settings, compute)

    wrap(inside or closed_form())  # settings that are wrong are no broken promise
    return wrapper_check(wrap, inside, device=device, limit=limit)


# ---- telling ----------------------------------------------------------------------------------------------------


def _told(broken: BrokenPromise, making: Iterable[str]) -> str:
    seen = f" ({broken.verdict.seen})" if broken.verdict.seen else ""
    code = [f"    {line}" for line in [*making, *broken.code.splitlines()]]
    below = [f"Input: {broken.input}.", "To see it again:", *code]
    return "\n          ".join([f"  BROKEN  {broken.verdict.promise}{seen}", *below])


def _making(part: Part, options: Options) -> list[str]:
    """Python that makes the part, under the name by which the lines of its check call it."""
    settings = part.settings
    calls = {
        "merge rule": f"rule = registry.create('merge rule', {part.name!r}, {settings}, compute)",
        "timestep schedule": f"schedule = registry.create('timestep schedule', {part.name!r}, {settings})",
        "stepper": f"stepper = registry.create('stepper', {part.name!r}, {settings})",
        "exporter": f"exporter = registry.create('exporter', {part.name!r}, {settings})",
        "denoiser": f"denoiser = registry.denoiser({part.reference!r}, compute, {settings})",
        "wrapper": f"wrap = lambda denoiser: registry.wrapped(denoiser, {part.name!r}, {settings}, compute)",
        "classifier": f"classifier = registry.classifier({part.reference!r}, compute)",
    }
    lines = [
        "from dmix_core.backends import Compute",
        "from dmix_core.registry import Registry",
        f"registry, compute = Registry.load(), Compute({options.device!r})",
    ]
    if options.denoiser and part.kind in ("wrapper", "classifier"):
        lines += [f"denoiser = registry.denoiser({options.denoiser!r}, compute)", "noise = denoiser.noise"]
    return [*lines, calls[part.kind]]
