"""Everything that the pages share: the queue, the process that computes, what there is to choose from."""

import asyncio
import base64
import logging
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import StudioError
from .painter import Painter
from .resolving import resolved
from .scene import Order
from .set_jobs import SetJobs
from .tabs import Tab, Tabs
from .taking_home import shown
from .turns import Turns, Unit
from .variants import Variant

CATALOGUE = "catalogue"
TWINS_WITHIN = 30.0
"""Seconds for which who takes pictures home waits for those without objects."""
log = logging.getLogger(__name__)


class Hub:
    """What the routes act upon.

    Args:
        folders: the only ones that are read; sets are written to the first.
        scratch: a folder of the server's own.
    """

    def __init__(self, folders: Sequence[Path], scratch: Path) -> None:
        self.folders = [folder.resolve() for folder in folders]
        self.tabs = Tabs(scratch, self._closed)
        self.turns, self.painter = Turns(), Painter()
        self.sets = SetJobs(self.folders[0], self.tabs)
        self.running: Unit | None = None
        self._wanted = asyncio.Event()
        self._catalogue: asyncio.Future[dict[str, Any]] | None = None

    # ---- what pages ask for -----------------------------------------------------------------------------------

    async def catalogue(self, anew: bool = False) -> dict[str, Any]:
        """What there is to choose from, looked up once, and again when it is asked for.

        Raises:
            StudioError: the process that looks died.
        """
        if self._catalogue is None or (self._catalogue.done() and (anew or self._catalogue.exception())):
            self._catalogue = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return await asyncio.shield(self._catalogue)

    async def compose(self, tab: Tab, order: Order) -> str:
        """Let a scene be composed in variants; returns the run's id.

        Raises:
            StudioError: the scene names what is not there, or too much waits.
        """
        photographs = {name: each.reference for name, each in tab.photographs.items()}
        scene, references = resolved(order.scene, await self.catalogue(), photographs)
        run, units = secrets.token_hex(4), []
        for number in range(order.variants):
            own = scene.model_copy(update={"seed": scene.seed + number})
            asked = {"do": "compose", "scene": own.model_dump(mode="json"), "references": references}
            units.append(Unit(tab.id, asked, run))
        self.turns.add(units)
        self._wanted.set()
        self._tell_places()
        return run

    def cancel(self, tab: Tab) -> None:
        """End all that a page waits for; it is told at once, whatever the process still does."""
        dropped = self.turns.drop(tab.id)
        if self.running and self.running.tab == tab.id and self.running.kind == "compose":
            self._end_running()
            dropped.append(self.running)
        for run in {unit.run for unit in dropped}:
            tab.tell({"event": "cancelled", "run": run})
        self._tell_places()

    async def twins(self, tab: Tab) -> bool:
        """Wait a while for the twins of what is kept; whether all of them are there."""
        end = time.monotonic() + TWINS_WITHIN
        while any(variant.twin is None for variant in tab.kept()):
            being_made = self.running and self.running.tab == tab.id and self.running.kind == "twin"
            if time.monotonic() > end or not (being_made or self.turns.has_twins(tab.id)):
                return False
            await asyncio.sleep(0.05)
        return True

    # ---- the queue --------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Carry out what waits, for ever."""
        while True:
            if self._catalogue and not self._catalogue.done():
                await self._look(self._catalogue)
            unit = self.turns.next()
            if unit is None:
                self._wanted.clear()
                await self._wanted.wait()
                continue
            self.running = unit
            self._tell_places()
            try:
                await self._carry_out(unit)
            except Exception:  # the queue must go on, whatever is wrong with one event
                log.exception("A composition could not be passed on.")
            self.running = None

    async def close(self) -> None:
        """End everything."""
        await self.sets.close()
        await self.painter.close()

    async def _look(self, answer: asyncio.Future[dict[str, Any]]) -> None:
        order = {"do": "catalogue", "id": CATALOGUE, "folders": [str(folder) for folder in self.folders]}
        try:
            async for event in self.painter.carry_out(order):
                if event["event"] == "catalogue":
                    answer.set_result(event["catalogue"])
                else:
                    answer.set_exception(StudioError(event["message"], 500))
        except StudioError as error:
            answer.set_exception(error)

    async def _carry_out(self, unit: Unit) -> None:
        try:
            async for event in self.painter.carry_out(unit.order | {"id": unit.id}):
                if not unit.cancelled:
                    self._pass_on(unit, event)
        except StudioError as error:
            if not unit.cancelled:
                self._pass_on(unit, {"event": "failed", "message": str(error)})

    def _pass_on(self, unit: Unit, event: dict[str, Any]) -> None:
        """An event of the process, to the page that waits for it."""
        tab = self.tabs.get(unit.tab)
        if event["event"] == "sample":
            self._arrived(tab, unit, event)
        elif event["event"] == "twin":
            self._twin_arrived(tab, unit, event)
        elif event["event"] == "failed" and unit.kind == "twin":
            return  # a picture without its twin is one all the same
        else:
            if event["event"] == "failed":
                self.turns.drop(tab.id)
            tab.tell({**event, "run": unit.run, "seed": unit.order["scene"]["seed"]})

    def _arrived(self, tab: Tab, unit: Unit, event: dict[str, Any]) -> None:
        image, mask = (base64.b64decode(event.pop(name)) for name in ("image", "mask"))
        scene = Order.model_validate({"scene": unit.order["scene"]}).scene
        variant = Variant(unit.id, scene, unit.order["references"], event, image, mask)
        try:
            tab.add(variant)
        except StudioError as error:
            tab.tell({"event": "failed", "run": unit.run, "message": str(error)})
            return
        tab.tell({"event": "sample", "run": unit.run, "variant": shown(variant, tab.photographs)})
        twin = Unit(tab.id, unit.order | {"do": "twin", "variant": unit.id}, unit.run, "twin")
        self.turns.add([twin])

    def _twin_arrived(self, tab: Tab, unit: Unit, event: dict[str, Any]) -> None:
        if variant := tab.variants.get(unit.order["variant"]):
            variant.twin = base64.b64decode(event["image"])
            tab.tell({"event": "twin", "id": variant.id})

    def _tell_places(self) -> None:
        """Tell each page how many others come before it."""
        for tab in self.tabs.all():
            others = self.running is not None and self.running.tab != tab.id
            tab.tell({"event": "queue", "ahead": self.turns.ahead(tab.id) + others, "waiting": len(self.turns)})

    def _closed(self, name: str) -> None:
        """A page was closed: what it waited for ends."""
        self.turns.drop(name, twins=True)
        self.sets.abandon(name)
        if self.running and self.running.tab == name:
            self._end_running()

    def _end_running(self) -> None:
        assert self.running
        self.running.cancelled = True
        self.painter.cancel(self.running.id)
