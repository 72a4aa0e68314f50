"""The layouts that are known: each module here has one as LAYOUT, and a new module is found by itself."""

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import NamedTuple

from dmix_core.errors import did_you_mean

from ..files import DataError
from .base import Layout, Listing, Record, Split, no_pictures

__all__ = ["Layout", "Listing", "Match", "Record", "Split", "candidates", "find", "layouts", "named"]


class Match(NamedTuple):
    """A layout that a folder may have, and why."""

    layout: Layout
    evidence: str


@cache
def layouts() -> dict[str, Layout]:
    """Every layout by its name."""
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    found = [module.LAYOUT for module in modules if hasattr(module, "LAYOUT")]
    return {layout.name: layout for layout in sorted(found, key=lambda layout: layout.name)}


def candidates(folder: str | Path) -> list[Match]:
    """The layouts that a folder may have; those that fit anything only where no other does.

    Raises:
        DataError: no such folder.
    """
    root = _folder(folder)
    return _fitting(root, fallback=False) or _fitting(root, fallback=True)


def _fitting(root: Path, fallback: bool) -> list[Match]:
    asked = [layout for layout in layouts().values() if layout.fallback == fallback]
    return [Match(layout, said) for layout in asked if (said := layout.detect(root))]


def find(folder: str | Path, name: str | None = None) -> Match:
    """The layout of a folder, or the one of that name.

    Raises:
        DataError: no such folder, no pictures in it, several layouts that it may have, or no layout of that name.
    """
    root = _folder(folder)
    if name is not None:
        return Match(named(name), "asked for")
    found = candidates(root)
    if len(found) > 1:
        options = "; ".join(f"{match.layout.name} ({match.evidence})" for match in found)
        raise DataError(
            f"{str(folder)!r} could have several layouts: {options}. "
            "Expected one; name it as layout, or point at the folder of one data set."
        )
    if not found:
        raise no_pictures(root)
    return found[0]


def named(name: str) -> Layout:
    """The layout of that name.

    Raises:
        DataError: there is none.
    """
    if name not in layouts():
        raise DataError(f"No layout {name!r}.{did_you_mean(name, layouts())} Expected one of: {', '.join(layouts())}.")
    return layouts()[name]


def _folder(folder: str | Path) -> Path:
    if not Path(folder).is_dir():
        raise DataError(f"{str(folder)!r} is not a folder; expected one with pictures.")
    return Path(folder)
