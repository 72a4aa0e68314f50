"""`dmix models list`."""

import re

import click

from ...printing import say

COLUMNS = "{:<16} {:<10} {:>9}  {:>10}  {}"


@click.command("list")
def list_models() -> None:
    """List the bundled models."""
    from dmix_models import checkpoint

    say(COLUMNS.format("name", "role", "size", "parameters", "trained on"))
    for name in checkpoint.bundled():
        folder = checkpoint.find(name)
        config, card = checkpoint.read_config(folder), _facts(checkpoint.read_card(folder))
        height, width = config.size
        parameters = card.get("parameters", "?").partition(", ")[0]
        say(COLUMNS.format(name, config.role, f"{width}x{height}", parameters, card.get("training data", "?")))


def _facts(card: str) -> dict[str, str]:
    """The lines "- name: value" of a model card by their names; of two with one name the first counts."""
    facts: dict[str, str] = {}
    for name, value in re.findall(r"^- ([^:\n]+): (.+)$", card, flags=re.MULTILINE):
        facts.setdefault(name, value)
    return facts
