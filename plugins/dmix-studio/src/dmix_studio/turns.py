"""The queue of compositions: tabs take turns, and twins wait until nobody waits for a picture."""

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from .errors import StudioError
from .limits import MOST_WAITING, MOST_WAITING_IN_ALL

_numbers = count(1)


@dataclass(eq=False)
class Unit:
    """One composition, or the twin of one, as the process that computes gets it.

    Attributes:
        tab: the id of the tab that waits for it.
        order: what is sent.
        run: the id that the page knows it by; the variants of one composition share it.
    """

    tab: str
    order: dict[str, Any]
    run: str
    kind: Literal["compose", "twin"] = "compose"
    cancelled: bool = False
    id: str = field(default_factory=lambda: str(next(_numbers)))


class Turns:
    """Units that wait, each tab's in its own line."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Unit]] = {}  # the tab whose turn is next comes first

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def add(self, units: list[Unit]) -> None:
        """Let units of one tab wait, all of them or none.

        Raises:
            StudioError: too many wait already.
        """
        line = self._lines.get(units[0].tab, deque())
        wanted = [unit for unit in units if unit.kind == "compose"]
        waiting = sum(unit.kind == "compose" for unit in line)
        if wanted and (waiting + len(wanted) > MOST_WAITING or len(self) + len(wanted) > MOST_WAITING_IN_ALL):
            raise StudioError(
                f"{waiting} of your compositions and {len(self) - len(line)} of others wait already; expected at most "
                f"{MOST_WAITING} of one page and {MOST_WAITING_IN_ALL} in all. Wait for them, or cancel.",
                429,
            )
        line.extend(units)
        self._lines[units[0].tab] = line

    def next(self) -> Unit | None:
        """The next unit, which waits no longer; None where none does."""
        for kind in ("compose", "twin"):
            for tab, line in self._lines.items():
                unit = next((unit for unit in line if unit.kind == kind), None)
                if unit:
                    line.remove(unit)
                    self._lines.pop(tab)
                    if line:
                        self._lines[tab] = line  # behind the others
                    return unit
        return None

    def ahead(self, tab: str) -> int:
        """How many compositions of other tabs come before the next one of this tab, if each tab has one turn."""
        tabs = [name for name, line in self._lines.items() if any(unit.kind == "compose" for unit in line)]
        return tabs.index(tab) if tab in tabs else 0

    def has_twins(self, tab: str) -> bool:
        """Whether a tab waits for twins."""
        return any(unit.kind == "twin" for unit in self._lines.get(tab, ()))

    def drop(self, tab: str, twins: bool = False) -> list[Unit]:
        """Take away the compositions that a tab waits for, and with `twins` these, too; returns what was taken."""
        line = self._lines.pop(tab, deque())
        left = deque(unit for unit in line if unit.kind == "twin" and not twins)
        if left:
            self._lines[tab] = left
        return [unit for unit in line if unit not in left]
