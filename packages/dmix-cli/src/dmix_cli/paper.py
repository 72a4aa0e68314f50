"""The symbols of the paper, where someone types them as options."""

from typing import Any

import click


class PaperCommand(click.Command):
    """A command that answers --tau, --r and --T with the options that they are."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _explained(error) from error


def _explained(error: click.NoSuchOption) -> click.UsageError:
    from dmix_core.questions import PAPER

    name: Any = error.option_name
    if (field := PAPER.get(name.lstrip("-"))) is None:
        return error
    option = f"--{field.replace('_', '-')}"
    return click.UsageError(f"No such option {name!r}. The paper's {name.lstrip('-')} is {option}.", error.ctx)
