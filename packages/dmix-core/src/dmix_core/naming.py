"""Names of regions: each its own, since noise derives from them."""

import copy
import re
from collections.abc import Collection, Sequence

from .protocols import Region

UNNAMED = "background"
"""What a region is called that was given no name."""


def numbered(regions: Sequence[Region]) -> list[Region]:
    """The regions, from bottom to top; those above the first unnamed one are called "object-1" and so on by place."""
    taken = {region.name for region in regions}
    named: list[Region] = []
    for place, region in enumerate(regions):
        if region.name == UNNAMED and any(below.name == UNNAMED for below in named):
            region = _renamed(region, free_name(f"object-{place}", taken))
            taken.add(region.name)
        named.append(region)
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
    """A copy under another name; also of frozen dataclasses whose constructors take something else."""
    copied = copy.copy(region)
    object.__setattr__(copied, "name", name)
    return copied
