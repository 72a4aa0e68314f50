"""`dmix models`: what there is, what it is made of, and the import of public checkpoints."""

import click

from .import_ import import_model
from .list import list_models
from .memorisation import memorisation
from .samples import samples
from .show import show


@click.group(invoke_without_command=True, short_help="List, show and import models, find copies.")
@click.pass_context
def models(ctx: click.Context) -> None:
    """List, show and import models, and find out whether one repeats its training data; alone, list them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_models)


for command in (list_models, show, samples, import_model, memorisation):
    models.add_command(command)
