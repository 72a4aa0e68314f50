"""How commands fail: a message and an exit code instead of a traceback."""

import errno
import logging
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from .printing import printable, say

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a command as SIGINT does, files whole."""


class Ended(KeyboardInterrupt):
    """A signal that ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Commands(click.Group):
    """A group whose commands answer users' mistakes and the system's refusals with a message and an exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _escaped():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _escaped(), _ended_by_signals(), _warnings_as_lines(), _logs_as_lines():
                return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            say(f"\nInterrupted.{_where(interrupt)}", err=True)
            number = interrupt.number if isinstance(interrupt, Ended) else signal.SIGINT
            ctx.exit(128 + number)  # as shells have it
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends quietly when nobody reads on
                raise
            raise click.ClickException(printable(str(error))) from error
        except Exception as error:
            if not _is_dmix_error(error):
                raise
            raise click.ClickException(printable(str(error))) from error


@contextmanager
def _escaped() -> Iterator[None]:
    """Messages hold what was typed and names of files, neither of which may steer a terminal."""
    try:
        yield
    except click.ClickException as error:
        error.message = printable(error.message)  # type: ignore[misc]
        raise


@contextmanager
def wrong_use(*more: type[Exception]) -> Iterator[None]:
    """Errors in what was typed, or in what a recipe states, end the command with exit code 2; `more` are such, too."""
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


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise what SIGINT raises, so that everything is left as tidy; who ignores them goes on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    default = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in default:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in default:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended(number)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Warnings about plugins are lines for users; all others stay as Python shows them."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if category.__name__ == "PluginWarning":  # of dmix_core.errors, which need not have been imported
                say(f"Warning: {message}", err=True)
            else:
                shown(message, category, *where, **more)

        warnings.showwarning = show
        yield


class _Line(logging.Handler):
    """Prints a record as a line of a command."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), err=True)


@contextmanager
def _logs_as_lines() -> Iterator[None]:
    """Logged warnings, which hold names of files, are lines for users, unless somebody has set up logging."""
    before, logging.lastResort = logging.lastResort, _Line(logging.WARNING)
    try:
        yield
    finally:
        logging.lastResort = before


def _where(interrupt: KeyboardInterrupt) -> str:
    """The plugin whose code was running, for people who wonder what takes so long."""
    from importlib import metadata

    modules = {
        entry.value.partition(":")[0].partition(".")[0]: entry.dist
        for group in ("dmix", "dmix_commands")
        for entry in metadata.entry_points(group=group)
    }
    for frame, _ in reversed([*traceback.walk_tb(interrupt.__traceback__)]):
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if (plugin := modules.get(name)) and name not in ("dmix_core", "dmix_models"):
            return f" The plugin {plugin.name} {plugin.version} was running."
    return ""


def _is_dmix_error(error: Exception) -> bool:
    errors = sys.modules.get("dmix_core.errors")  # where it was not imported, the error is not one of its
    return errors is not None and isinstance(error, errors.DmixError)
