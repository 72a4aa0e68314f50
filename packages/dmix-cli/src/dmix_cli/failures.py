"""How commands fail: a message and an exit code instead of a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

INTERRUPTED = 130  # as shells have it: 128 + SIGINT


class Commands(click.Group):
    """A group whose commands answer users' mistakes and the system's refusals with a message and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends quietly when nobody reads on
                raise
            raise click.ClickException(str(error)) from error
        except Exception as error:
            if not _is_dmix_error(error):
                raise
            raise click.ClickException(str(error)) from error


@contextmanager
def wrong_use(*more: type[Exception]) -> Iterator[None]:
    """Errors in what was typed, or in what a recipe says, end the command with exit code 2; `more` are such, too."""
    from dmix_core import errors

    typed: tuple[type[Exception], ...] = (
        *more,
        errors.CompositionError,
        errors.DeviceError,
        errors.GeometryError,
        errors.PluginError,
        errors.RecipeError,
        errors.ScheduleError,
    )
    try:
        yield
    except typed as error:
        raise click.UsageError(str(error), click.get_current_context()) from error


def _is_dmix_error(error: Exception) -> bool:
    errors = sys.modules.get("dmix_core.errors")  # where it was not imported, the error is not one of its
    return errors is not None and isinstance(error, errors.DmixError)
