"""`dmix plugins`: what is installed, what is broken and why, whether it keeps its promises, a start for new ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import wrong_use
from .parameters import Setting, SettingType

if TYPE_CHECKING:
    from dmix_core.registry import PluginRecord


NEW = ("merge-rule", "schedule", "stepper", "denoiser", "wrapper", "classifier", "exporter")
"""The kinds of plugins that can be started."""


@click.group(invoke_without_command=True, short_help="List plugins, check them, start a new one.")
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """List plugins, check one, start a new one; alone, list them.

    Plugins are programs that run with your rights: install those that you trust. The environment variable DMIX_PLUGINS,
    if set, names those to load, by entry point or distribution, with commas between.
    """
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
@click.option("--set", "settings", multiple=True, type=SettingType(), help="A setting of what is checked.")
@click.option("--denoiser", metavar="MODEL", help="What a wrapper wraps, or a classifier looks at.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute: cpu, cuda, mps.")
@click.option("--limit", default=10.0, show_default=True, help="How far from 0 a denoiser's predictions may go.")
@click.option("--examples", type=click.IntRange(min=1), help="How many inputs to try.  [default: 10 to 100, by kind]")
def check(
    name: str, settings: tuple[Setting, ...], denoiser: str | None, device: str, limit: float, examples: int | None
) -> None:
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
    try:
        from .checking import Options, run
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise click.ClickException(str(error)) from error
    run(Options(name, settings, denoiser, device, limit, examples))


@plugins.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(NEW), default=NEW[0], show_default=True, help="What it brings.")
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where to put its folder."
)
def new(name: str, kind: str, out: Path) -> None:
    """Write a plugin package that installs and passes its own test."""
    from .new_plugin import write_plugin

    with wrong_use():
        folder = write_plugin(name, out, kind)
    lines = [f'pip install -e "{folder}[test]"', f"pytest {folder}", f"dmix plugins check {folder.name}"]
    click.echo("\n  ".join([f"Wrote {folder}. Next:", *lines]))


def _described(plugin: "PluginRecord") -> str:
    from dmix_core.registry import HOOKS

    head = f"{plugin.distribution} {plugin.version} ({plugin.name}): {plugin.status}"
    reason = [f"  {plugin.error}"] if plugin.error else []
    names = [f"  {hook}: {', '.join(plugin.provides[kind])}" for hook, kind in HOOKS.items() if kind in plugin.provides]
    return "\n".join([head, *reason, *names])
