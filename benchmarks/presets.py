"""Memory and pace of training with each preset, as the README of dmix-models states them.

    OMP_NUM_THREADS=1 python benchmarks/presets.py

Paces are medians of whole training steps, taken in turn in one process, in seconds of CPU time: on one thread these are
the seconds of a machine that does nothing else. Memory is what a process of its own grows by in two steps.
"""

import argparse
import platform
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import NamedTuple

import numpy as np
import torch

from dmix_data.datasets import ObjectCrops, Windows
from dmix_data.loader import Picture
from dmix_models.estimate import kept_for_backward, resident_peak
from dmix_models.presets import PRESETS, Preset, preset_model
from dmix_models.trainer import UNSTATED, TrainConfig, Training

SIZES = {"object": 32, "background": 64}
PRECISIONS = ("no", "bf16")
NEVER = 10**9


class Kind(NamedTuple):
    """A training to be measured."""

    preset: Preset
    role: str
    precision: str
    batch: int


def begun(kind: Kind, folder: str) -> Training:
    """A training on noise."""
    side = SIZES[kind.role]
    pixels = np.random.default_rng(0).integers(0, 256, (2 * side, 2 * side, 1), np.uint8)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[side - 4 : side + 4, side - 4 : side + 4] = 255
    picture = Picture(Path("noise"), pixels, mask)
    crops = ObjectCrops([picture], (side, side)) if kind.role == "object" else Windows([picture], (side, side))
    model = preset_model(kind.role, crops, "preset", kind.preset)  # type: ignore[arg-type]
    config = TrainConfig(
        steps=NEVER,
        batch_size=kind.batch,
        mixed_precision=kind.precision,
        save_every=NEVER,
        preview_every=NEVER,
        keep=1,
    )
    return Training(model, config, crops, Path(folder), UNSTATED)


def paces(kinds: list[Kind], rounds: int) -> list[float]:
    """Seconds of CPU time of a step of each kind."""
    with TemporaryDirectory() as folder:
        runs = [begun(kind, f"{folder}/{number}").run() for number, kind in enumerate(kinds)]
        times = [[seconds(run) for run in runs] for _ in range(rounds + 1)]
    return [median(each) for each in zip(*times[1:], strict=True)]


def seconds(run: Iterator[object]) -> float:
    start = process_time()
    next(run)
    return process_time() - start


def grown(kind: Kind) -> int:
    """Bytes of resident memory that two steps take, in a process of their own."""
    before = resident_peak() or 0
    with TemporaryDirectory() as folder:
        run = begun(kind, folder).run()
        next(run)
        next(run)
    return (resident_peak() or 0) - before


def cpu() -> str:
    """The kind of CPU, and what torch makes of it."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    flags = "avx512_bf16" if "avx512_bf16" in info.read_text() else "no avx512_bf16"
    return f"{names[0] if names else platform.processor()}, {torch.backends.cpu.get_cpu_capability()}, {flags}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and pace of training with each preset.")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each that are timed")
    parser.add_argument("--batch", type=int, default=16, help="images in a step")
    given = parser.parse_args()
    kinds = [
        Kind(preset, role, precision, given.batch) for preset, role, precision in product(PRESETS, SIZES, PRECISIONS)
    ]
    times = paces(kinds, given.rounds)
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        memory = list(pool.map(grown, kinds))
    print(f"{torch.get_num_threads()} thread(s) of {cpu()}, batches of {given.batch}\n")
    print("| preset | grid | precision | parameters | computed | measured | images/s |")
    print("|---|---|---|---|---|---|---|")
    for kind, time, peak in zip(kinds, times, memory, strict=True):
        with TemporaryDirectory() as folder:
            training = begun(kind, folder)
        weights = sum(parameter.nbytes for parameter in training.network.parameters())
        computed = 5 * weights + kept_for_backward(training.model, training.config, 1, training.device)
        grid = f"{kind.role} {SIZES[kind.role]}x{SIZES[kind.role]}"
        precision = "float32" if kind.precision == "no" else kind.precision
        print(
            f"| {kind.preset} | {grid} | {precision} | {weights / 4e6:.2f} M | {computed / 1e6:.0f} MB "
            f"| {peak / 1e6:.0f} MB | {kind.batch / time:.1f} |"
        )


if __name__ == "__main__":
    main()
