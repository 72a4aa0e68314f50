"""`dmix report`: a page about a generated set."""

from pathlib import Path

import click

from ..parameters import FOLDER, NEW_FILE
from ..printing import say
from ..progress import progress


@click.command(short_help="A page about a generated set.")
@click.argument("folder", metavar="SET", type=FOLDER)
@click.option("-o", "--out", type=NEW_FILE, help="The page.  [default: SET/report.html]")
@click.option("--real", type=FOLDER, help="Real pictures with masks, whose objects are measured beside.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
def report(folder: Path, out: Path | None, real: Path | None, quiet: bool) -> None:
    """Write one HTML file about SET, which `dmix generate` made; it fetches nothing and can be passed on.

    It has a gallery with outlines of the objects and filters, counts, the areas and contrasts of the objects, what the
    checks found, and how the set was made. The data card README.md is written beside the set's manifest, too.
    """
    from dmix_data.data_card import write_card
    from dmix_data.set_report import shown, write_report
    from dmix_data.stored_set import StoredSet

    with progress("looking", "sample", quiet, total=shown(StoredSet.open(folder))) as bar:
        page = write_report(folder, out, real, bar.update)
    card = write_card(folder)
    if not quiet:
        say(f"Wrote {page} and {card}.")
