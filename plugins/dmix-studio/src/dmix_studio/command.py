"""`dmix studio`."""

import secrets
from pathlib import Path

import click

from dmix_cli.parameters import FOLDER, Count
from dmix_cli.printing import say

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command("studio", short_help="Draw boxes on a page, and watch what is composed.")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=FOLDER)
@click.option("--port", type=Count(0, "LONGEST_SIDE"), default=8765, show_default=True, help="0: one that is free.")
@click.option("--host", default=LOOPBACK[0], show_default=True, help="Others than this machine need a token.")
@click.option("--token/--no-token", "wants_token", default=None, help="Ask for a token.  [default: beyond loopback]")
@click.option("--open/--no-open", "opens", default=True, help="Open the page in a browser.  [default: open]")
def studio_command(folders: tuple[Path, ...], port: int, host: str, wants_token: bool | None, opens: bool) -> None:
    """Serve a page on this machine: draw boxes on a photograph or a model's background, watch each step of the
    denoising, keep what is good, and take pictures, masks and labels home.

    Models, sets and trainings are looked for in the FOLDERs, the current one by default; sets are written to the first.
    No other folder is read, and nothing leaves this machine.

    \b
    Examples:
      dmix studio
      dmix studio runs/ --port 9000 --no-open
      dmix studio --host 0.0.0.0
    """
    from .serving import serve

    outside = host not in LOOPBACK
    if outside and wants_token is False:
        raise click.UsageError(f"--no-token: on {host} everyone could compute here; expected a token.")
    token = secrets.token_urlsafe(24) if outside or wants_token else None

    def ready(address: str) -> None:
        say(f"dmix studio is at {address}\nCtrl-C ends it.")
        if opens:
            click.launch(address)

    serve(list(folders) or [Path()], host, port, token, ready)
