"""Commands that other distributions bring, by entry points of the group "dmix_commands".

None of them is imported before it is asked for.
"""

from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

import click

from .commands import BUILT_IN

if TYPE_CHECKING:
    from dmix_core.discovery import Installed

GROUP = "dmix_commands"


class Found(NamedTuple):
    """A command that some distribution brings; `problem` is why it cannot be used."""

    name: str
    plugin: "Installed"
    problem: str | None = None


def found_commands() -> list[Found]:
    """Every command of the group, those that cannot be used included, by name."""
    if not metadata.entry_points(group=GROUP):
        return []
    from dmix_core.discovery import ALLOW_LIST, installed, is_allowed

    entries = installed(GROUP)
    bringing: dict[str, list[Installed]] = {}
    for plugin in entries:
        bringing.setdefault(plugin.entry.name, []).append(plugin)

    def problem(plugin: "Installed") -> str | None:
        name, allowed = plugin.entry.name, is_allowed(plugin, entries)
        rivals = [other for other in bringing[name] if other is not plugin and is_allowed(other, entries)]
        if name in BUILT_IN:
            return f"refused: {name!r} is a command of dmix itself"
        if not allowed:
            return f"left out by the environment variable {ALLOW_LIST}"
        return f"conflict: {' and '.join(map(str, rivals))} brings {name!r} too" if rivals else None

    return sorted(Found(plugin.entry.name, plugin, problem(plugin)) for plugin in entries)


def usable_commands() -> dict[str, str]:
    """The commands that can be asked for, each with the distribution that brings it."""
    return {found.name: str(found.plugin) for found in found_commands() if found.problem is None}


def load_command(name: str) -> click.Command | None:
    """Import the command of this name; None where nothing brings it.

    Raises:
        click.ClickException: it cannot be used, and why.
    """
    mine = [found for found in found_commands() if found.name == name and name not in BUILT_IN]
    if not mine:
        return None
    usable = [found for found in mine if found.problem is None]
    if not usable:
        reasons = "; ".join(f"{found.plugin}: {found.problem}" for found in mine)
        raise click.UsageError(f"The command {name!r} cannot be used ({reasons}).")
    return _imported(usable[0])


def _imported(found: Found) -> click.Command:
    from dmix_core.discovery import incompatibility

    if reason := incompatibility(found.plugin):
        raise click.ClickException(f"The command {found.name!r} of {found.plugin} is broken: {reason}.")
    try:
        command = found.plugin.entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a foreign module may raise anything when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise click.ClickException(f"The command {found.name!r} of {found.plugin} is broken: {reason}.") from error
    if not isinstance(command, click.Command):
        raise click.ClickException(
            f"The command {found.name!r} of {found.plugin} is {command!r}; expected a click command."
        )
    return command
