"""The server: its routes, and what lives as long as it does."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from starlette.applications import Starlette

from .guard import Guard
from .hub import Hub
from .routes import routes


def create_app(folders: Sequence[Path], guard: Guard | None = None) -> Starlette:
    """The application.

    Args:
        folders: in which models, sets and trainings are looked for; sets are written to the first. No other is read.
        guard: who may ask; None: everyone on this machine.
    """
    scratch = tempfile.TemporaryDirectory(prefix="dmix-studio-")  # for its owner alone
    hub = Hub(folders, Path(scratch.name))

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        working = asyncio.create_task(hub.work())
        looking = asyncio.create_task(hub.catalogue())
        try:
            yield
        finally:
            for task in (working, looking):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
            await hub.close()
            scratch.cleanup()

    app = Starlette(routes=routes(hub, guard or Guard()), lifespan=living)
    app.state.hub = hub
    return app
