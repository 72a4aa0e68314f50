"""The `dmix` command.

What is imported here answers `--help`: torch and all that needs it is imported inside the commands.
"""

import click

from .commands.compose import compose
from .data import data
from .failures import Commands
from .models import models
from .plugins import plugins
from .train import train


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="dmix-cli", prog_name="dmix")
def main() -> None:
    """Compose images from several diffusion models, each object with its mask.

    Exit codes: 0 done, 2 wrong use (what was typed or what a recipe says), 1 a failure at work (a file, a disk, a
    model), 130 interrupted.
    """


for command in (compose, train, data, models, plugins):
    main.add_command(command)
