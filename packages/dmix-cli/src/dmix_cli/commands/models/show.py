"""`dmix models show`."""

import click

from ...failures import wrong_use
from ...printing import say


@click.command()
@click.argument("model", metavar="NAME|FOLDER")
def show(model: str) -> None:
    """Show a model's card and config, and hold its weights against them."""
    from dmix_models import checkpoint
    from dmix_models.weights import CheckpointError

    with wrong_use(CheckpointError):
        folder = checkpoint.find(model)
    checkpoint.load(folder)
    card = checkpoint.read_card(folder)
    say(card or "No model card.")
    say(checkpoint.read_config(folder).model_dump_json(indent=2))
    say(f"\nThe weights in {folder} fit the config{' and the checksum in the card' * bool(card)}.")
