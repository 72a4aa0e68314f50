"""`dmix plugins check`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from ...failures import wrong_use
from ...parameters import Count, Finite, Setting, SettingType
from ...printing import say

if TYPE_CHECKING:
    from dmix_core.registry import Registry
    from dmix_core.testing import BrokenPromise
    from dmix_core.testing.installed import Part, Surroundings


@click.command()
@click.argument("name")
@click.option("--set", "settings", multiple=True, type=SettingType(), help="A setting of what is checked.")
@click.option("--denoiser", metavar="MODEL", help="What a wrapper wraps, or a classifier looks at.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, mps.")
@click.option(
    "--limit",
    type=Finite(min=0),
    default=10.0,
    show_default=True,
    help="How far from 0 a denoiser's predictions may go.",
)
@click.option("--examples", type=Count(), help="How many inputs to try.  [default: 10 to 100, by kind]")
def check(name: str, settings: tuple[Setting, ...], examples: int | None, **given: Any) -> None:
    """Put what is installed to the test: every promise that dmix builds on, kept or broken.

    NAME is a name that a plugin provides, NAME:ARGUMENT for a model, or a plugin, for all that it provides. What is
    broken comes with the input that broke it and with lines of Python to see it again. Exit code 1 if a promise is
    broken.

    \b
    Examples:
      dmix plugins check dmix-soft-mask
      dmix plugins check soft-mask --set feather=3
      dmix plugins check checkpoint:runs/my-defect
    """
    from dmix_core.devices import check_device
    from dmix_core.registry import Registry

    try:
        from dmix_core.testing import installed
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise click.ClickException(str(error)) from error

    registry = Registry.load()
    with wrong_use():
        check_device(given["device"])
        around = installed.Surroundings(**given)
        parts = installed.parts(name, settings, registry)
        if len(parts) == 1:
            installed.part_check(parts[0], registry, around)  # what cannot be made was typed wrongly
    found = {part.reference: _findings(part, registry, around, examples) for part in parts}
    _summarise(name, found)


def _findings(
    part: "Part", registry: "Registry", around: "Surroundings", examples: int | None
) -> "list[BrokenPromise | str]":
    """What the check of one part finds, printed as well; nothing where the part cannot be made."""
    from dataclasses import replace

    from dmix_core.errors import DmixError
    from dmix_core.testing.installed import making, part_check

    say(f"{part.kind} {part.reference}")
    try:
        check = part_check(part, registry, around)
    except DmixError as error:
        say(f"  not checked: {error}")
        return []
    findings = replace(check, examples=examples or check.examples).report()
    for finding in findings:
        say(f"  kept    {finding}" if isinstance(finding, str) else _broken(finding, making(part, around)))
    return findings


def _broken(broken: "BrokenPromise", making: Iterable[str]) -> str:
    seen = f" ({broken.verdict.seen})" if broken.verdict.seen else ""
    code = [f"    {line}" for line in [*making, *broken.code.splitlines()]]
    below = [f"Input: {broken.input}.", "To see it again:", *code]
    return "\n          ".join([f"  BROKEN  {broken.verdict.promise}{seen}", *below])


def _summarise(name: str, found: "dict[str, list[BrokenPromise | str]]") -> None:
    """Print how many promises are kept; raise if one is broken or nothing could be checked."""
    findings = [finding for each in found.values() for finding in each]
    left_out = [reference for reference, each in found.items() if not each]
    without = f" Not checked: {', '.join(left_out)}." if left_out else ""
    if broken := sum(not isinstance(finding, str) for finding in findings):
        raise click.ClickException(f"{name} breaks {broken} of {len(findings)} promises.{without}")
    if not findings:
        raise click.ClickException(f"Nothing of {name} could be checked.")
    say(f"{name} keeps all {len(findings)} promises.{without}")
