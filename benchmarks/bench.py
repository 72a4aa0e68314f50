"""How fast dmix is: one table, in one process, every figure beside what it is compared with.

    OMP_NUM_THREADS=1 python benchmarks/bench.py [--seconds 6] [--json runs/bench.json] [--only forward sampler ...]

forward: a network of ours, in float32, bfloat16 and other backends, against diffusers' UNet2DModel with the same
weights and against its convolutions and attention products alone. sampler: composites of the bundled pair against the
bare network calls that they make. photograph: the same where the background is a photograph. training: whole steps
against diffusers' network in the same loop.

Ways are timed in turn after a round of warm-up. Milliseconds are medians; the speed is the median over the rounds of
how many times as fast as the first way it was. Memory is what the process grows by at most in one call (Linux).
"""

import argparse
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measuring import Way, in_turn, peak
from torch import Tensor, nn
from twins import BUNDLED, CONFIGS, ours, products, theirs

from dmix_core import BoxRegion, Composer, Prediction, StillImage
from dmix_core.backends import Backend, Compiled, Eager, Inputs
from dmix_core.files import write_atomically
from dmix_fewsteps import DpmSolver2M, FewSteps
from dmix_models import load

NETWORKS = (*BUNDLED, *CONFIGS)
BATCHES = (1, 4, 16)
DIFFUSERS = "diffusers"
FLOOR = "products alone"


class Row(NamedTuple):
    """One way of one comparison; speed is against the first way, and None for that itself."""

    section: str
    case: str
    way: str
    ms: float
    speed: float
    rounds: int
    memory_mb: float | None


def rows(section: str, case: str, ways: Mapping[str, Way], seconds: float, images: int = 1) -> Iterator[Row]:
    """Time some ways of doing the same; milliseconds are of one image."""
    timed = in_turn(ways, seconds)
    for name, way in ways.items():
        grown = peak(way)
        took = timed[name]
        memory = None if grown is None else grown / 1e6
        yield Row(section, case, name, 1000 * took.seconds / images, 1 / took.ratio, took.rounds, memory)


# ---- networks -------------------------------------------------------------------------------------------------


def backends(bfloat16: bool, compiled: bool) -> dict[str, tuple[Backend, str]]:
    """Backends and arithmetics of our network by their names."""
    found: dict[str, tuple[Backend, str]] = {"dmix": (Eager(), "float32")}
    if bfloat16:
        found["dmix, bfloat16"] = Eager(), "bfloat16"
    if find_spec("dmix_onnx"):
        from dmix_onnx import OnnxRuntime

        found["dmix, onnx"] = OnnxRuntime(), "float32"
    if compiled:
        found["dmix, compile"] = Compiled(), "float32"
    return found


def forward(given: argparse.Namespace) -> Iterator[Row]:
    times = torch.tensor([500])
    for name in given.networks:
        network, side = ours(name)
        twin = theirs(network, side)
        channels = network.config.in_channels
        made = {
            key: backend(network, Inputs(channels, (side, side), 0, torch.device("cpu"), dtype))
            for key, (backend, dtype) in backends(given.bfloat16, given.compile).items()
        }
        for batch in given.batches:
            x = torch.randn(batch, channels, side, side)
            agree(twin(x, times).sample, made["dmix"](x, times))
            ways: dict[str, Way] = {DIFFUSERS: partial(twin, x, times), "dmix, the module": partial(network, x, times)}
            ways |= {key: partial(run, x, times) for key, run in made.items()}
            ways[FLOOR] = products(network, x, times)
            yield from rows("forward", f"{name}, batch {batch}", ways, given.seconds, batch)


def agree(one: Tensor, other: Tensor, within: float = 1e-4) -> None:
    """Speed without the same result is no speed."""
    if not (off := float((one - other).abs().max())) <= within:
        raise SystemExit(f"ours and diffusers' predictions differ by {off:.2g}; expected at most {within:g}")


# ---- composites -----------------------------------------------------------------------------------------------


class Counted:
    """A denoiser that keeps the levels at which it was called."""

    def __init__(self, denoiser: Any) -> None:
        self.denoiser, self.spec, self.noise = denoiser, denoiser.spec, denoiser.noise
        self.levels: list[int] = []

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        self.levels.append(t)
        return self.denoiser(x_t, t)


Made = Callable[[list[Any]], Composer]
"""A composer of the bundled pair, or of what counts its calls."""


def pair() -> list[Any]:
    return [load("tiles"), load("defects").with_label("blowhole")]


def bare(composer: Made, samples: int) -> Callable[[], None]:
    """The network calls of a composition, and nothing else."""
    counted = [Counted(each) for each in pair()]
    composer(counted).compose(samples)

    def run() -> None:
        for each in counted:
            x = torch.zeros(samples, *each.spec.shape)
            for t in each.levels:
                each.denoiser(x, t)

    return run


def on_tile(denoisers: list[Any], **options: Any) -> Composer:
    tiles, blowhole = denoisers
    return Composer([BoxRegion(tiles), BoxRegion(blowhole, name="blowhole", z=1)], **options)


def on_photograph(denoisers: list[Any]) -> Composer:
    photograph = torch.rand(3, 750, 1000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    above = BoxRegion(denoisers[1], (400, 300, 64, 64), "blowhole", 1)
    return Composer([BoxRegion(StillImage(photograph)), above])


def few(denoisers: list[Any]) -> Composer:
    return on_tile(denoisers, timesteps=FewSteps(), stepper=DpmSolver2M())


def composites(section: str, case: str, composer: Made, seconds: float, samples: int = 1) -> Iterator[Row]:
    """A composition against the network calls that it makes."""
    made = composer(pair())
    ways = {"composites": partial(made.compose, samples), "their network calls": bare(composer, samples)}
    yield from rows(section, case, ways, seconds, samples)


def sampler(given: argparse.Namespace) -> Iterator[Row]:
    yield from composites("sampler", "one composite, 270 calls of each network", on_tile, given.seconds)
    yield from composites("sampler", "one composite, 30 + 45 calls", few, given.seconds)
    for row in composites("sampler", "8 together, 30 + 45 calls, each", few, given.seconds, 8):
        yield row
        yield row._replace(case="1,000 composites, scaled from 8", ms=1000 * row.ms)


def photograph(given: argparse.Namespace) -> Iterator[Row]:
    yield from composites("photograph", "one composite in 1000x750, 270 calls", on_photograph, given.seconds)


# ---- training -------------------------------------------------------------------------------------------------


def step(network: nn.Module, batch: int, side: int, dtype: str) -> Way:
    """A training step: forward, loss, backward, clipping, AdamW."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    channels = network.config.in_channels
    x, times = torch.randn(batch, channels, side, side), torch.randint(1000, (batch,))

    def once() -> None:
        with torch.enable_grad():
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                predicted = network(x, times)
            predicted = getattr(predicted, "sample", predicted)[:, :channels]  # diffusers' networks return records
            nn.functional.mse_loss(predicted.float(), x).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return once


def training(given: argparse.Namespace) -> Iterator[Row]:
    batch = 16
    for name in BUNDLED:
        ways: dict[str, Way] = {}
        half = [("dmix, bfloat16", "bfloat16")] if given.bfloat16 else []
        for way, dtype in ((DIFFUSERS, "float32"), ("dmix", "float32"), *half):
            network, side = ours(name)
            trained: nn.Module = theirs(network, side) if way == DIFFUSERS else network
            ways[way] = step(trained.requires_grad_(True), batch, side, dtype)
        yield from rows("training", f"step of {batch}, {name}'s network, each", ways, given.seconds, batch)


SECTIONS = {each.__name__: each for each in (forward, sampler, photograph, training)}


# ---- the table ------------------------------------------------------------------------------------------------


def line(row: Row) -> str:
    memory = "" if row.memory_mb is None else f"{row.memory_mb:.0f}"
    return f"| {row.case} | {row.way} | {row.ms:.2f} | {row.speed:.2f} | {memory} |"


def machine() -> dict[str, str | int]:
    info = Path("/proc/cpuinfo")
    names = [text for text in info.read_text().splitlines() if text.startswith("model name")] if info.exists() else []
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="for each comparison; three rounds take place anyway")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=[*SECTIONS])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="of the section forward")
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES, help="of the section forward")
    parser.add_argument(
        "--no-bfloat16",
        dest="bfloat16",
        action="store_false",
        help="leave it out: it is seven to ten times slower where the processor lacks it",
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile too, which takes minutes to start")
    parser.add_argument("--json", type=Path, default=Path("runs/bench.json"))
    given = parser.parse_args()
    print(", ".join(f"{key} {value}" for key, value in machine().items()), end="\n\n")
    made: list[Row] = []
    for name in given.only:
        print(f"| {name} | | ms | times as fast | MB |\n|---|---|---|---|---|")
        for row in SECTIONS[name](given):
            made.append(row)
            print(line(row), flush=True)
        print()
    if given.compile:
        from torch._dynamo.utils import counters

        print(f"graphs that were compiled: {counters['stats']['unique_graphs']}")
    given.json.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(given.json, json.dumps({**machine(), "rows": [row._asdict() for row in made]}, indent=1).encode())
    print(f"Wrote {given.json}")


if __name__ == "__main__":
    with torch.no_grad():
        main()
