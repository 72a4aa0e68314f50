"""`dmix plugins show`."""

import inspect

import click

from ...failures import wrong_use
from ...printing import say


@click.command()
@click.argument("name")
def show(name: str) -> None:
    """Show what a plugin's NAME is, who brings it, and the settings that `--set NAME.KEY=VALUE` gives it."""
    from dmix_core.registry import Registry

    registry = Registry.load()
    with wrong_use():
        offer = registry.offer(name)
    say(f"{name}: a {offer.kind} of {offer.plugin}")
    if about := inspect.getdoc(offer.factory):
        say(f"\n{about}\n")
    declared = registry.declared_settings(name)
    say("Settings:" if declared else "It takes no settings.")
    for setting in declared:
        say(f"  {setting}")
