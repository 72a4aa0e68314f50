"""`dmix data`: what a folder holds, and its objects as files of their own."""

import click

from .crops import crops
from .inspect import inspect


@click.group(short_help="Look at data sets, cut objects out of them.")
def data() -> None:
    """Look at folders of pictures and masks in the layout that they have, and cut objects out of them."""


data.add_command(inspect)
data.add_command(crops)
