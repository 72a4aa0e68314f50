"""`dmix plugins list`."""

from typing import TYPE_CHECKING

import click

from ...printing import say
from ...third_party import Found, found_commands

if TYPE_CHECKING:
    from dmix_core.discovery import PluginRecord
    from dmix_core.registry import Registry


@click.command("list")
def list_plugins() -> None:
    """List what is installed: distribution, version, hooks, names with their settings, commands, and what is wrong."""
    from dmix_core.registry import Registry

    registry = Registry.load()
    for plugin in registry.plugins:
        say(_described(plugin, registry))
    for found in found_commands():
        say(_described_command(found))
    for name, claims in registry.conflicts.items():
        say(f"conflict: {name!r} is claimed by {' and '.join(claims)}; uninstall one of them")
    for name, claims in registry.refused.items():
        say(f"refused: {name!r} is claimed by {' and '.join(claims)}, but is a name of dmix itself, which stays")


def _described(plugin: "PluginRecord", registry: "Registry") -> str:
    from dmix_core.kinds import HOOKS

    head = f"{plugin} ({plugin.name}): {plugin.status}"
    reason = [f"  {plugin.error}"] if plugin.error else []
    names = [f"  {hook}: {', '.join(plugin.provides[kind])}" for hook, kind in HOOKS.items() if kind in plugin.provides]
    return "\n".join([head, *reason, *names, *_settings(plugin, registry)])


def _settings(plugin: "PluginRecord", registry: "Registry") -> list[str]:
    provided = [(kind, name) for kind, names in plugin.provides.items() for name in names]
    declared = {
        name: registry.declared_settings(name, kind) for kind, name in provided if name not in registry.conflicts
    }
    return [f"  {name} takes {', '.join(settings)}" for name, settings in declared.items() if settings]


def _described_command(found: Found) -> str:
    return f"command {found.name} of {found.plugin}: {found.problem or 'ok'}"
