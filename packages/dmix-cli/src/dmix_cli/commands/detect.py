"""`dmix detect`: which pictures are generated."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..parameters import Count, PathType
from ..printing import json_option, print_json, say
from ..progress import progress

if TYPE_CHECKING:
    from dmix_data.c2pa import Credentials
    from dmix_data.detection import Copy, Finding

EXISTING = PathType(exists=True, path_type=Path)


@click.command(short_help="Which pictures are generated, or copies of such.")
@click.argument("path", type=EXISTING)
@click.option(
    "--manifest", type=EXISTING, help="A generated set, or its manifest.jsonl, among whose pictures to look for copies."
)
@click.option(
    "--near",
    type=Count(0, 64),
    default=4,
    show_default=True,
    help="In how many of 64 bits the perceptual hash of a near copy may differ.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@json_option
def detect(path: Path, manifest: Path | None, near: int, quiet: bool, as_json: bool) -> None:
    """State of PATH, a picture or a folder of them, what is generated.

    A picture is generated where its metadata state so, by IPTC's digital source type, which dmix and others write, or
    its C2PA manifest, which is read where c2pa-python is installed. That they do not shows nothing, since saving a
    picture again may remove them: with --manifest, exact and near copies of the pictures of a set are found without
    metadata, also when they were encoded again, scaled or cropped. A photograph into which a set has painted objects
    is near to its samples, too, and is named.
    """
    from dmix_data.detection import Known, detect_below

    known = Known.read(manifest, near) if manifest else None
    with progress("looking", "picture", quiet or as_json) as bar:
        found = []
        for finding in detect_below(path, known):
            found.append(finding)
            bar.update()
    if as_json:
        print_json({"pictures": [_record(finding) for finding in found]})
        return
    for finding in found:
        say(f"{finding.path}: {_line(finding)}")
    signs = sum(finding.verdict != "no sign" for finding in found)
    say(f"{signs} of {len(found)} pictures show a sign of being generated.")


def _record(finding: "Finding") -> dict[str, Any]:
    copies = {"exact": finding.exact, "near": finding.near, "crop": finding.crop}
    return {
        "file": str(finding.path),
        "verdict": finding.verdict,
        "source_type": finding.mark and finding.mark.source_type,
        "recipe": finding.mark and dict(finding.mark.recipe),
        "c2pa": finding.credentials and vars(finding.credentials),
        **{kind: copy and copy._asdict() for kind, copy in copies.items()},
    }


def _line(finding: "Finding") -> str:
    """The verdict, and all that speaks for it."""
    signs = []
    if finding.mark:
        signs.append(f"metadata state {finding.mark.source_type}")
    if finding.credentials:
        signs.append(_of_c2pa(finding.credentials))
    if finding.exact:
        signs.append(f"has the bytes of {finding.exact.image}")
    elif finding.near:
        signs.append(f"{finding.near.distance} of 64 bits from {finding.near.image}{_or_photograph(finding.near)}")
    elif finding.crop:
        crop = finding.crop
        signs.append(f"{crop.distance} of 256 bits from the centre of {crop.image}{_or_photograph(crop)}")
    return f"{finding.verdict} ({'; '.join(signs)})" if signs else finding.verdict


def _or_photograph(copy: "Copy") -> str:
    """The other explanation of a near copy."""
    return f", or it is the photograph {copy.photograph} behind it" if copy.photograph else ""


def _of_c2pa(found: "Credentials") -> str:
    if not found.valid:
        return "its C2PA manifest does not fit the picture, or is damaged"
    stated = f", states {', '.join(found.source_types)}" if found.source_types else ""
    return f"C2PA manifest of {found.signer or 'an unnamed signer'}{stated}"
