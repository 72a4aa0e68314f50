"""`dmix data`: its options."""

from typing import Any

import click

from .parameters import FOLDER, NEW_FILE


@click.group(short_help="Look at data sets, cut objects out of them.")
def data() -> None:
    """Look at folders of pictures and masks in the layout that they have, and cut objects out of them."""


@data.command(short_help="What a folder holds, and what to run next.")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--layout", metavar="NAME", help="How DIR is laid out.  [default: found out]")
@click.option("-o", "--out", type=NEW_FILE, help="Draw objects of every class, with their masks, into this PNG.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inspect(**given: Any) -> None:
    """Look at every picture and mask in DIR.

    Tells the layout, counts, sizes and modes, how large the objects are beside models, how far the masks depend on the
    rule that reads them, what is broken, missing, empty or twice there, and what to run next. Nothing is changed.
    """
    from .inspecting import run

    run(**given)
