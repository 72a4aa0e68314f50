"""Closed-form models, installed as pip leaves them, and a server of the page on a port of its own."""

import json
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from dmix_studio.app import create_app
from dmix_studio.guard import Guard

MODULE = '''
import os, signal, time
from dataclasses import dataclass
from pathlib import Path

import torch
from dmix_core import HardMask, Spec
from dmix_core.hookspecs import hookimpl
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser


def meadow(argument=None, *, device="cpu", dtype="float32"):
    return GaussianDenoiser(Spec((48, 64), 3), mean=0.4, sd=0.2)


def dot(argument=None, *, device="cpu", dtype="float32"):
    """A dark disc, 12 x 12, with its mask."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 12), indexing="ij")
    mask = ((x**2 + y**2 < 0.6).float() * 2 - 1)[None]
    return GaussianDenoiser(Spec((12, 12), 3, 1), mean=torch.cat([torch.full((3, 12, 12), -0.5), mask]), sd=0.1)


class Slow(GaussianDenoiser):
    def __call__(self, x_t, t):
        time.sleep(0.03)
        return super().__call__(x_t, t)


def slow_dot(argument=None, *, device="cpu", dtype="float32"):
    made = dot()
    return Slow(made.spec, mean=made.mean, sd=made.sd)


def void(argument=None, *, device="cpu", dtype="float32"):
    return ConstantDenoiser(-torch.ones(4, 12, 12), mask_channels=1)


class Crash(GaussianDenoiser):
    def __call__(self, x_t, t):
        os.kill(os.getpid(), signal.SIGKILL)


def crash(argument=None, *, device="cpu", dtype="float32"):
    return Crash(Spec((12, 12), 3, 1))


@dataclass(frozen=True)
class Shrunk(HardMask):
    """The hard mask, with settings of several types.

    Attributes:
        pixels: by how much masks
            are shrunk.
    """

    pixels: int = 0
    gently: bool = True
    way: str = "even"


@dataclass(frozen=True)
class FromFile(HardMask):
    """A rule that reads a file, which a page must not name."""

    path: Path = Path("/nowhere")


@hookimpl
def dmix_denoisers():
    models = {"meadow": meadow, "dot": dot, "slow-dot": slow_dot, "void-dot": void}
    return models | ({"crash-dot": crash} if "DMIX_STUDIO_CRASH" in os.environ else {})


@hookimpl
def dmix_merge_rules():
    return {"shrunk-mask": Shrunk, "file-mask": FromFile}
'''


@pytest.fixture(scope="session")
def dots(tmp_path_factory) -> Path:
    """A folder for PYTHONPATH with the plugin `dmix-dots`."""
    folder = tmp_path_factory.mktemp("dots")
    (folder / "dmix_dots.py").write_text(MODULE)
    info = folder / "dmix_dots-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dmix-dots\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[dmix]\ndots = dmix_dots\n")
    return folder


@pytest.fixture(scope="module")
def dotted(dots):
    """The toys are installed in this process and in those that it starts; networks compute in one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(dots))
        patch.setenv("PYTHONPATH", str(dots))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("DMIX_STUDIO_CRASH", "1")
        yield


@contextmanager
def served_page(folder: Path, guard: Guard | None = None):
    """A server of the page in a thread; yields its address and its hub."""
    app = create_app([folder], guard)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1, ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", app.state.hub
    finally:
        server.should_exit = True
        thread.join(30)


def wait_until(true, seconds=90.0):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def until():
    """A function that waits until something holds."""
    return wait_until


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """The folder that the server is given."""
    return tmp_path_factory.mktemp("given")


@pytest.fixture(scope="module")
def studio(dotted, place):
    """A server for the tests of a module: its address and its hub."""
    with served_page(place) as served:
        httpx.get(f"{served[0]}/api/catalogue", timeout=300)  # no test waits for torch to be imported
        yield served


WALK = {"timestep schedule": {"name": "tail-resampling", "settings": {"resamples": 1, "jump_length": 2}}}


def a_scene(**changes) -> dict:
    box = {"model": "dot", "box": [20, 10, 12, 12]}
    return {"background": "meadow", "objects": [box], "seed": 3, "steps": 12, "plugins": WALK} | changes


@pytest.fixture(scope="session")
def scene():
    """A function that gives a scene as a page sends it, with changes."""
    return a_scene


class Client:
    """A page without a browser: its requests, and its events in a thread."""

    def __init__(self, address: str, tab: str) -> None:
        self.http = httpx.Client(base_url=address, headers={"x-dmix-studio": "1"}, timeout=120)
        self.own, self.events, self.stream = f"/api/tabs/{tab}", [], None
        self._listening = httpx.Client(base_url=address, timeout=None)
        threading.Thread(target=self._listen, daemon=True).start()
        wait_until(lambda: self.of("hello"))

    def _listen(self) -> None:
        try:
            with self._listening.stream("GET", f"{self.own}/events") as self.stream:
                for line in self.stream.iter_lines():
                    if line.startswith("data: "):
                        self.events.append(json.loads(line[6:]))
        except Exception:  # it was closed
            return

    def of(self, kind: str) -> list[dict]:
        return [each for each in self.events if each["event"] == kind]

    def compose(self, variants=1, **changes) -> httpx.Response:
        return self.http.post(f"{self.own}/compose", json={"scene": a_scene(**changes), "variants": variants})

    def composed(self, **changes) -> dict:
        """A variant that was composed now."""
        count = len(self.of("sample")) + 1
        answer = self.compose(**changes)
        assert answer.status_code == 202, answer.text
        wait_until(lambda: len(self.of("sample")) >= count or self.of("failed"))
        assert not self.of("failed"), self.of("failed")
        return self.of("sample")[-1]["variant"]

    def close(self) -> None:
        """Close the page, as a browser does: its stream ends."""
        self.stream.extensions["network_stream"].get_extra_info("socket").shutdown(2)
        self.http.close()


@pytest.fixture
def client(studio):
    """A function that opens a page; all are closed in the end."""
    opened = []

    def make(tab=None) -> Client:
        opened.append(Client(studio[0], tab or f"{time.monotonic_ns():032x}"))
        return opened[-1]

    yield make
    for each in opened:
        with suppress(OSError):
            each.close()


@pytest.fixture
def photo(tmp_path) -> Path:
    """A colourful photograph, 90 x 70."""
    path = tmp_path / "wall photo.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (70, 90, 3), np.uint8)).save(path)
    return path
