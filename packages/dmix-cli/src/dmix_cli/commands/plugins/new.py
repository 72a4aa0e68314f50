"""`dmix plugins new`."""

from pathlib import Path

import click

from ...failures import wrong_use
from ...parameters import PathType
from ...printing import say

NEW = (
    "merge-rule",
    "schedule",
    "stepper",
    "denoiser",
    "wrapper",
    "classifier",
    "exporter",
    "backend",
    "layout",
    "format",
    "engine",
    "command",
)
"""The kinds of plugins that can be started."""


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(NEW), default=NEW[0], show_default=True, help="What it brings.")
@click.option(
    "-o", "--out", type=PathType(file_okay=False, path_type=Path), default=".", help="Where to put its folder."
)
def new(name: str, kind: str, out: Path) -> None:
    """Write a plugin package that installs and passes its own test."""
    from ...scaffold import write_plugin

    with wrong_use():
        folder = write_plugin(name, out, kind)
    last = (
        f"dmix {folder.name.removeprefix('dmix-')} --help" if kind == "command" else f"dmix plugins check {folder.name}"
    )
    lines = [f'pip install -e "{folder}[test]"', f"pytest {folder}", last]
    say("\n  ".join([f"Wrote {folder}. Next:", *lines]))
