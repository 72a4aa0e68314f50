"""`dmix plugins`: what is installed, what is broken and why, whether it keeps its promises, a start for new ones."""

import click

from .check import check
from .list import list_plugins
from .new import new
from .show import show


@click.group(invoke_without_command=True, short_help="List plugins, check them, start a new one.")
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """List plugins, show what one takes, check one, start a new one; alone, list them.

    Plugins are programs that run with your rights: install those that you trust. The environment variable DMIX_PLUGINS,
    if set, lists the distributions whose plugins are loaded, such as dmix-soft-mask or soft-mask for short, with commas
    between; DISTRIBUTION:NAME means one entry point of a distribution.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plugins)


for command in (list_plugins, show, check, new):
    plugins.add_command(command)
