"""Serving the page until somebody ends it."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from dmix_core.errors import DmixError

from .app import create_app
from .guard import Guard


def serve(folders: Sequence[Path], host: str, port: int, token: str | None, ready: Callable[[str], object]) -> None:
    """Serve until Ctrl-C or a signal.

    Args:
        folders: as for `create_app`.
        port: 0: one that is free.
        token: what every request has to bring; None: nothing, which only this machine may be allowed.
        ready: called with the address once it can be opened.

    Raises:
        DmixError: the address cannot be listened to.
    """
    listening = _listening(host, port)
    taken = listening.getsockname()[1]
    hosts = {} if token is None else {"hosts": None}
    app = create_app(folders, Guard(token=token, cookie=f"dmix-studio-{taken}", **hosts))
    config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=1, ws="none")
    shown = "localhost" if host in ("127.0.0.1", "::1", "localhost") else _own_name(host)
    address = f"http://{shown}:{taken}/{f'?token={token}' if token else ''}"
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.05)
        if server.started:
            ready(address)
        await serving

    asyncio.run(run())


def _own_name(host: str) -> str:
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        found.close()
        raise DmixError(
            f"Cannot listen on {host}:{port} ({error}). Expected an address of this machine and a free port; "
            "--port 0 takes one."
        ) from error
    return found
