"""The process that computes, as the page's server sees it: orders go in, events come out, and it may die."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from .errors import StudioError
from .limits import MESSAGE_BYTES, PATIENCE

Json = dict[str, Any]
LAST = {"sample", "twin", "catalogue", "failed", "cancelled"}
"""Events after which nothing more comes of an order."""


class Crashed(StudioError):
    """The process ended while it computed."""


class Painter:
    """Starts the process when it is needed, and again after it has died."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._order: str | None = None
        self._ending: asyncio.TimerHandle | None = None

    async def carry_out(self, order: Json) -> AsyncIterator[Json]:
        """The events of an order, to its last one.

        Raises:
            Crashed: the process died.
        """
        process = await self._started()
        self._order = order["id"]
        try:
            self._send(order)
            while line := await process.stdout.readline():  # type: ignore[union-attr]
                event = json.loads(line)
                if event["id"] == order["id"]:
                    yield event
                    if event["event"] in LAST:
                        return
            raise Crashed(_ended(await process.wait()), 500)
        finally:
            self._order = None
            if self._ending:
                self._ending.cancel()
                self._ending = None

    def cancel(self, order: str) -> None:
        """End an order at its next step; if that takes too long, by ending the process."""
        if self._order == order and self._ending is None:
            self._send({"do": "cancel", "id": order})
            self._ending = asyncio.get_running_loop().call_later(PATIENCE, self.kill)

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End the process and wait until it is gone."""
        self.kill()
        if self._process:
            await self._process.wait()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dmix_studio.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MESSAGE_BYTES,
            )
        return self._process

    def _send(self, order: Json) -> None:
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")


def _ended(code: int) -> str:
    """Why the process ended, in words."""
    try:
        reason = f"by the signal {signal.Signals(-code).name}" if code < 0 else f"with the code {code}"
    except ValueError:
        reason = f"by the signal {-code}"
    advice = " Perhaps there was not enough memory." if code == -signal.SIGKILL else ""
    return (
        f"The process that computes ended {reason}.{advice} It is started again for the next composition; your boxes "
        "and the pictures that you have are still there."
    )
