"""Names of regions: each its own, since noise derives from them."""

import dataclasses
import re
from collections.abc import Collection, Sequence
from typing import cast

from .protocols import Region


def numbered(regions: Sequence[Region]) -> list[Region]:
    """The regions, given from bottom to top, with names for those without: "background", and above it "object-1"..."""
    taken = {region.name for region in regions}
    named: list[Region] = []
    for place, region in enumerate(regions):
        name = region.name or free_name(f"object-{place}" if place else "background", taken)
        taken.add(name)
        named.append(region if region.name else _renamed(region, name))
    return named


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or the name with the first number from 2 on that is not taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def short_name(reference: str) -> str:
    """The last part of a reference: of a path the file, of FOLDER:CLASS the class."""
    return re.split(r"[/\\:]", reference.rstrip("/\\"))[-1]


def _renamed(region: Region, name: str) -> Region:
    return cast(Region, dataclasses.replace(region, name=name))  # type: ignore[type-var]
