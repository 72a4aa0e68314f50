"""What commands print: text without control characters, and JSON on a stdout that nothing else writes to."""

import json
import re
import sys
from contextlib import redirect_stdout
from typing import Any

import click

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_STDOUT = "dmix_cli.printing.stdout"


def printable(text: str) -> str:
    """The text with control characters, as file names may have them, escaped; tabs and newlines stay."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def say(text: object = "", err: bool = False) -> None:
    """Print a line that may hold the names of files or classes."""
    click.echo(printable(str(text)), err=err)


def print_json(record: Any) -> None:
    """Print one JSON object on stdout; what json does not know is printed as text, such as paths."""
    text = json.dumps(record, indent=2, default=str)
    click.echo(text, file=click.get_current_context().find_root().meta.get(_STDOUT))


def reserve_stdout(ctx: click.Context, param: click.Parameter, wanted: bool) -> bool:
    """The callback of a `--json` option: until the command ends, what anything else prints goes to stderr."""
    if wanted:
        ctx.find_root().meta[_STDOUT] = sys.stdout
        ctx.with_resource(redirect_stdout(sys.stderr))
    return wanted


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=reserve_stdout, help="Print one JSON object on stdout."
)
