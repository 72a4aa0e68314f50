"""Which layouts there are, and which one a folder has.

Layouts come from plugins, through the hook `dmix_layouts`; those of dmix-data are in `dmix_data.plugin`. To find out
how a folder is laid out, every layout that is no fallback is asked, in the order of their names. Exactly one may fit;
if several do, the user is asked to name one, whichever plugins they are from. Fallbacks, which fit nearly anything,
are asked only if none fits, by the same rule.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dmix_core.errors import DmixError, did_you_mean

from ..exceptions import DataError
from .base import Layout, Listing, Record, no_pictures

if TYPE_CHECKING:
    from dmix_core.registry import Registry

__all__ = ["Layout", "LayoutError", "Listing", "Match", "Record", "candidates", "find", "layouts", "listing", "named"]


class LayoutError(DataError):
    """A layout of a plugin that does not do what is expected of one."""


class Match(NamedTuple):
    """A layout that a folder may have, and why."""

    layout: Layout
    evidence: str


def layouts(registry: "Registry | None" = None) -> dict[str, Layout]:
    """Every layout by its name, sorted.

    Args:
        registry: which plugins there are; by default all that are installed.
    """
    registry = registry or _installed()
    return {name: named(name, registry) for name in registry.names("layout")}


def named(name: str, registry: "Registry | None" = None) -> Layout:
    """The layout of that name.

    Raises:
        DataError: there is none.
        PluginError: two plugins claim the name.
    """
    registry = registry or _installed()
    known = registry.names("layout")
    if name not in known:
        raise DataError(f"No layout {name!r}.{did_you_mean(name, known)} Expected one of: {', '.join(known)}.")
    layout: Layout = registry.create("layout", name)
    return layout


def candidates(folder: str | Path, registry: "Registry | None" = None) -> list[Match]:
    """The layouts that a folder may have; fallbacks only where no other does.

    Raises:
        DataError: no such folder.
        LayoutError: a layout failed when it was asked.
    """
    root, known = _folder(folder), layouts(registry).values()
    found = _fitting(root, [layout for layout in known if not layout.fallback])
    return found or _fitting(root, [layout for layout in known if layout.fallback])


def find(folder: str | Path, name: str | None = None, registry: "Registry | None" = None) -> Match:
    """The layout of a folder, or the one of that name.

    Raises:
        DataError: no such folder, no pictures in it, several layouts that it may have, or no layout of that name.
        LayoutError: a layout failed when it was asked.
    """
    root = _folder(folder)
    if name is not None:
        return Match(named(name, registry), "asked for")
    found = candidates(root, registry)
    if len(found) > 1:
        options = "; ".join(f"{match.layout.name} ({match.evidence})" for match in found)
        raise DataError(
            f"{str(folder)!r} could have several layouts: {options}. "
            "Expected one; name it as layout, or point at the folder of one data set."
        )
    if not found:
        raise no_pictures(root)
    return found[0]


def listing(layout: Layout, folder: str | Path) -> Listing:
    """What a layout lists of a folder.

    Raises:
        DataError: there is no such folder, or what is in it does not fit the layout.
        LayoutError: the layout failed, or returned no listing.
    """
    found = _asked(layout, "read", _folder(folder))
    if not isinstance(found, Listing) or not all(isinstance(record, Record) for record in found.records):
        raise _broken(layout, "read", f"it returned {found!r:.80}; expected a dmix_data.layouts.Listing of Records")
    return found


def _fitting(root: Path, asked: list[Layout]) -> list[Match]:
    answers = ((layout, _asked(layout, "detect", root)) for layout in asked)
    return [Match(layout, str(evidence)) for layout, evidence in answers if evidence]


def _asked(layout: Layout, method: str, root: Path) -> object:
    try:
        return getattr(layout, method)(root)
    except DmixError:
        raise
    except OSError as error:  # a file that went away or is not ours to read is no fault of the layout
        raise DataError(f"Cannot look through {str(root)!r} ({error}). Expected a folder that can be read.") from error
    except Exception as error:  # whatever a plugin's code does
        raise _broken(layout, method, f"{type(error).__name__}: {error}") from error


def _broken(layout: Layout, method: str, why: str) -> LayoutError:
    owner = type(layout).__module__.partition(".")[0]
    return LayoutError(
        f"The layout {layout.name!r} of {owner} failed in {method} ({why}). "
        f"`dmix plugins check {layout.name}` tests it; name another layout, or uninstall the plugin."
    )


def _folder(folder: str | Path) -> Path:
    if not Path(folder).is_dir():
        raise DataError(f"{str(folder)!r} is not a folder; expected one with pictures.")
    return Path(folder)


@cache
def _installed() -> "Registry":
    from dmix_core.registry import Registry  # loads plugins, and torch with them

    return Registry.load()
