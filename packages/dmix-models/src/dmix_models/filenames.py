"""File names of things that people have named."""

import re
from collections.abc import Iterable

LONGEST = 50  # letters of a name; 200 bytes at most of the 255 that file systems allow, and temporary names are longer


def file_names(stem: str, suffix: str, names: Iterable[str | None]) -> dict[str | None, str]:
    """A file name for each name, such as "memorisation-crack.png" for "crack", and for None the stem alone.

    Characters other than letters, digits, "-", "." and "_" become "_". No two file names are equal, not even where a
    file system does not distinguish capitals: a second one gets a number.
    """
    found: dict[str | None, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        safe = stem if name is None else f"{stem}-{_safe(name)}"
        unique, number = safe, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{safe}-{number}"
        taken.add(unique.casefold())
        found[name] = unique + suffix
    return found


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)[:LONGEST]
