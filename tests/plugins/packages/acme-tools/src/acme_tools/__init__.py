"""A command, and something that is none."""

import click

NUMBER = 7


@click.command()
@click.option("--name", default="world", show_default=True, help="Whom to greet.")
def greet(name: str) -> None:
    """Greet someone."""
    click.echo(f"Hello, {name}.")
