"""What one open page has: its stream of events, its photographs and its variants."""

import asyncio
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import StudioError
from .limits import GRACE, MOST_BYTES_KEPT, MOST_SAMPLES_KEPT, MOST_TABS
from .variants import Variant

BACKLOG = 64
"""Events that wait for a slow page; beyond that, steps are left out."""
_ID = re.compile(r"[0-9a-zA-Z-]{16,64}")


@dataclass
class Photograph:
    """A picture that a page has sent, as a PNG in the server's own folder."""

    path: Path
    name: str
    size: tuple[int, int]

    @property
    def reference(self) -> str:
        """As recipes name it."""
        return f"photo:{self.path}"


@dataclass(eq=False)
class Tab:
    """An open page."""

    id: str
    folder: Path
    events: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    variants: dict[str, Variant] = field(default_factory=dict)
    photographs: dict[str, Photograph] = field(default_factory=dict)
    streaming: bool = False
    closing: asyncio.TimerHandle | None = None

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event to the page; steps that it does not keep up with are left out."""
        if event["event"] != "step" or self.events.qsize() < BACKLOG:
            self.events.put_nowait(event)

    def add(self, variant: Variant) -> None:
        """Take a variant; the oldest ones that are not kept make room.

        Raises:
            StudioError: what is kept leaves no room.
        """
        loose = [each.id for each in self.variants.values() if not each.kept]
        while self._is_full(variant.size):
            if not loose:
                raise StudioError(
                    f"You keep {len(self.variants)} pictures, which is all that one page may. Take them home, then "
                    "throw some away.",
                    429,
                )
            self.tell({"event": "removed", "id": loose[0]})
            del self.variants[loose.pop(0)]
        self.variants[variant.id] = variant

    def _is_full(self, more: int) -> bool:
        bytes_ = sum(each.size for each in self.variants.values())
        return len(self.variants) >= MOST_SAMPLES_KEPT or bytes_ + more > MOST_BYTES_KEPT

    def variant(self, name: str) -> Variant:
        """The variant of this id.

        Raises:
            StudioError: there is none.
        """
        if name not in self.variants:
            raise StudioError("This picture is not there any more.", 404)
        return self.variants[name]

    def kept(self) -> list[Variant]:
        """The variants that are to be taken home."""
        return [each for each in self.variants.values() if each.kept]


class Tabs:
    """All open pages.

    Args:
        folder: the server's own, for what pages send.
        closed: called with the id of a page that was closed.
    """

    def __init__(self, folder: Path, closed: Callable[[str], None]) -> None:
        self.folder, self._closed = folder, closed
        self._tabs: dict[str, Tab] = {}

    def __len__(self) -> int:
        return len(self._tabs)

    def all(self) -> list[Tab]:
        """Every open page."""
        return [*self._tabs.values()]

    def get(self, name: str) -> Tab:
        """The page of this id.

        Raises:
            StudioError: it is not open.
        """
        if name not in self._tabs:
            raise StudioError("The page is not connected any more. Load it again.", 404)
        return self._tabs[name]

    def open(self, name: str) -> Tab:
        """The page of this id, new or again, whose stream begins now.

        Raises:
            StudioError: no such id, too many pages, or its stream is in another page.
        """
        if not _ID.fullmatch(name):
            raise StudioError("A page's id has 16 to 64 letters, digits and dashes.")
        if name not in self._tabs:
            if len(self) >= MOST_TABS:
                raise StudioError(f"{MOST_TABS} pages are open, which is the most. Close another one.", 429)
            self._tabs[name] = Tab(name, self.folder / name)
        tab = self._tabs[name]
        if tab.streaming:
            raise StudioError("This page is open in another tab.", 409)
        tab.streaming = True
        if tab.closing:
            tab.closing.cancel()
            tab.closing = None
        return tab

    def stopped(self, tab: Tab) -> None:
        """A page's stream has ended; unless it begins again soon, the page is closed."""
        tab.streaming = False
        tab.closing = asyncio.get_running_loop().call_later(GRACE, self.close, tab.id)

    def close(self, name: str) -> None:
        """End a page: what it waits for, and what it has."""
        tab = self._tabs.pop(name, None)
        if tab:
            shutil.rmtree(tab.folder, ignore_errors=True)
            self._closed(name)
