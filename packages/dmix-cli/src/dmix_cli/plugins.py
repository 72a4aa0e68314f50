"""`dmix plugins`: what is installed, what is broken and why, and a start for new ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import wrong_use

if TYPE_CHECKING:
    from dmix_core.registry import PluginRecord


@click.group(invoke_without_command=True, short_help="List plugins, start a new one.")
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """List plugins, start a new one; alone, list them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plugins)


@plugins.command("list")
def list_plugins() -> None:
    """List what is installed: distribution, version, hooks, names, and what is wrong."""
    from dmix_core.registry import Registry

    registry = Registry.load()
    for plugin in registry.plugins:
        click.echo(_described(plugin))
    for name, claims in registry.conflicts.items():
        click.echo(f"conflict: {name!r} is claimed by {' and '.join(claims)}; uninstall one of them")


@plugins.command()
@click.argument("name")
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where to put its folder."
)
def new(name: str, out: Path) -> None:
    """Write a plugin package that installs and passes its own test."""
    from .new_plugin import write_plugin

    with wrong_use():
        folder = write_plugin(name, out)
    click.echo(f"Wrote {folder}. Next:\n  pip install -e {folder}[test]\n  pytest {folder}\n  dmix plugins")


def _described(plugin: "PluginRecord") -> str:
    from dmix_core.registry import HOOKS

    head = f"{plugin.distribution} {plugin.version} ({plugin.name}): {plugin.status}"
    reason = [f"  {plugin.error}"] if plugin.error else []
    names = [f"  {hook}: {', '.join(plugin.provides[kind])}" for hook, kind in HOOKS.items() if kind in plugin.provides]
    return "\n".join([head, *reason, *names])
