"""`dmix sign`: C2PA manifests into the generated pictures of a folder."""

from pathlib import Path

import click

from ..failures import wrong_use
from ..parameters import FILE, FOLDER, NEW_FOLDER
from ..printing import say
from ..progress import progress


@click.command(short_help="Sign generated pictures with C2PA.")
@click.argument("folder", type=FOLDER)
@click.option(
    "--certificate", type=FILE, required=True, help="A PEM file: your certificate, and those that vouch for it."
)
@click.option("--key", type=FILE, required=True, help="A PEM file: the certificate's private key, without a password.")
@click.option("-o", "--out", type=NEW_FOLDER, required=True, help="The folder of the signed copy.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
def sign(folder: Path, certificate: Path, key: Path, out: Path, quiet: bool) -> None:
    """Copy FOLDER, such as what `dmix export` has written, with a C2PA manifest in each generated PNG and JPEG.

    The manifest states IPTC's digital source type, as the picture's metadata do, and is signed with your certificate,
    without asking any server. Pictures that are not marked as generated, such as masks and photographs, stay as they
    are. It needs c2pa-python: pip install dmix-data[c2pa]
    """
    from dmix_data.c2pa import CredentialError, Signer, sign_below
    from dmix_data.exceptions import DataError

    with wrong_use(DataError, CredentialError), progress("signing", "file", quiet) as bar:
        count = 0
        for signed in sign_below(folder, out, Signer(certificate, key)):
            count += signed
            bar.update()
    if not quiet:
        say(f"Signed {count} pictures in {out}.")
