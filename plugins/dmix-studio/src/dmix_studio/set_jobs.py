"""Sets made from a scene: `dmix generate` in a process of its own, one at a time, with its events passed on."""

import asyncio
import json
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dmix_core.files import write_atomically
from dmix_core.limits import HIGHEST_SEED, MOST_SAMPLES

from .errors import StudioError
from .tabs import Tab, Tabs
from .variants import Variant

LAST_LINES = 2000
"""Characters of what a process printed that are kept for a message."""


class SetOrder(BaseModel):
    """A set like a picture that was made.

    Attributes:
        variant: the id of the picture.
        name: of its folder.
        n: how many composites.
        val: the share for validation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    variant: str = Field(max_length=40)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    n: int = Field(200, ge=1, le=min(MOST_SAMPLES, 100_000))
    seed: int = Field(0, ge=0, le=HIGHEST_SEED)
    val: float = Field(0.0, ge=0, lt=1)
    reject: bool = True
    twins: bool = False


@dataclass(eq=False)
class _Job:
    tab: str
    name: str
    process: asyncio.subprocess.Process
    ended: bool = False


class SetJobs:
    """Makes sets in a folder.

    Args:
        folder: where they are written.
        tabs: who is told.
    """

    def __init__(self, folder: Path, tabs: Tabs) -> None:
        self.folder, self.tabs = folder, tabs
        self._job: _Job | None = None
        self._starting = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    async def start(self, tab: Tab, order: SetOrder) -> None:
        """Begin a set like a picture.

        Raises:
            StudioError: another one is being made, or the folder is there already.
        """
        variant, out, source = tab.variant(order.variant), self.folder / order.name, self._source(order.name)
        async with self._starting:
            self._check_free()
            if out.exists() or source.exists():
                raise StudioError(f"{order.name!r} is there already in {str(self.folder)!r}; choose another name.", 409)
            await asyncio.to_thread(_write_settings, source, tab, variant, order)
            await self._run(tab, order.name)

    async def go_on(self, tab: Tab, name: str) -> None:
        """Go on with a set that was interrupted.

        Raises:
            StudioError: another one is being made, or none of that name was begun here.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name) or not self._source(name).is_dir():
            raise StudioError(f"The page has begun no set {name!r}; go on with `dmix generate --resume`.", 404)
        async with self._starting:
            self._check_free()
            await self._run(tab, name)

    def stop(self, tab: Tab) -> None:
        """End the set that is being made for a page; it can be gone on with."""
        self.abandon(tab.id)

    def abandon(self, tab: str) -> None:
        """End what is being made for a page that was closed."""
        if self._job and self._job.tab == tab:
            self._job.ended = True
            with suppress(ProcessLookupError):
                self._job.process.terminate()  # which leaves its files whole

    async def close(self) -> None:
        """End what is being made, and wait for it."""
        if self._job:
            self.abandon(self._job.tab)
            await self._job.process.wait()

    def _check_free(self) -> None:
        if self._job:
            raise StudioError(f"The set {self._job.name!r} is being made. Wait for it, or stop it.", 409)

    def _source(self, name: str) -> Path:
        return self.folder / f"{name}.from"

    async def _run(self, tab: Tab, name: str) -> None:
        words = ["generate", str(self._source(name) / "settings.json"), "-o", str(self.folder / name)]
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "dmix_cli", *words, "--events", "--resume", "--workers", "1"],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._job = _Job(tab.id, name, process)
        self._watching = asyncio.create_task(self._watch(tab, self._job))
        tab.tell({"event": "set", "name": name, "state": "begun"})

    async def _watch(self, tab: Tab, job: _Job) -> None:
        said = ""
        while line := (await job.process.stderr.readline()).decode(errors="replace"):  # type: ignore[union-attr]
            event = _event(line)
            if event:
                told = {"event": "set", "name": job.name, "state": "going", "done": event["done"], "of": event["of"]}
                tab.tell(told)
            else:
                said = (said + line)[-LAST_LINES:]
        code = await job.process.wait()
        self._job = None
        if job.ended:
            tab.tell({"event": "set", "name": job.name, "state": "stopped"})
        elif code:
            tab.tell({"event": "set", "name": job.name, "state": "failed", "message": said.strip() or f"Code {code}."})
        else:
            tab.tell({"event": "set", "name": job.name, "state": "finished"})


def _event(line: str) -> dict[str, Any] | None:
    with suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict) and event.get("event") == "committed":
            return event
    return None


def _write_settings(source: Path, tab: Tab, variant: Variant, order: SetOrder) -> None:
    """What `dmix generate` reads: settings.json, the recipe, and the photographs, all in one folder."""
    source.mkdir(parents=True)
    recipe = write_atomically(source / "recipe.json", variant.facts["recipe"].encode())
    backgrounds = variant.references[variant.scene.background]
    if variant.scene.background in tab.photographs:
        backgrounds = str(source / "photographs")
        Path(backgrounds).mkdir()
        for key, photograph in tab.photographs.items():
            shutil.copyfile(photograph.path, Path(backgrounds) / f"{photograph.name}-{key}.png")
    settings = settings_of(variant, order) | {"backgrounds": backgrounds, "recipe": str(recipe)}
    write_atomically(source / "settings.json", (json.dumps(settings, indent=2) + "\n").encode())


def settings_of(variant: Variant, order: SetOrder) -> dict[str, Any]:
    """The fields of a GenerateConfig that make pictures like this one: as many objects, of these models and sizes."""
    scene = variant.scene
    weights: dict[tuple[str, int, int], int] = {}
    for each in scene.objects:
        kind = variant.references[each.model], each.box[3], each.box[2]
        weights[kind] = weights.get(kind, 0) + 1
    objects = [
        {"model": model, "size": (height, width), "weight": weight}
        for (model, height, width), weight in weights.items()
    ]
    listening = {} if scene.listen_from is None else {"listen_from": scene.listen_from}
    own = {name: getattr(order, name) for name in ("n", "name", "seed", "val", "reject", "twins")}
    return {"objects": objects, "per_image": (len(scene.objects),) * 2, **listening, **own}
