"""The `dmix` command.

What is imported here answers `--help`: a command is imported when it is asked for, and imports torch and all that needs
it when it runs.
"""

import click

from .commands import BUILT_IN
from .failures import Commands
from .lazy import LazyGroup
from .third_party import load_command, usable_commands


class Main(Commands, LazyGroup):
    """dmix's own commands and those that plugins bring; dmix's own win."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *usable_commands()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return super().get_command(ctx, name) or load_command(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from dmix_core.errors import did_you_mean

            close = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"{error.message}{close}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        if brought := usable_commands():
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, f"From {plugin}.") for name, plugin in brought.items()])


@click.group(
    cls=Main,
    table=BUILT_IN,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="dmix-cli", prog_name="dmix")
def main() -> None:
    """Compose images from several diffusion models, each object with its mask.

    Exit codes: 0 done, 2 wrong use (what was typed or what a recipe states), 1 a failure at work (a file, a disk, a
    model), 128 and the number of the signal where one ended the command, such as 130 for Ctrl-C.
    """
