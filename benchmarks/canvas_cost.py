"""What a composition costs by its canvas: time as ratios in one run, peak memory in a process for each case.

    python benchmarks/canvas_cost.py

Objects of 32x32 are composed into photographs; their network takes a few milliseconds. The
aims: an object costs the same in every photograph (1.1x), eight objects of one model in one photograph what a batch of
eight costs (1.15x), and a large photograph needs less than 1.5 GB.
"""

import json
import subprocess
import sys
from argparse import ArgumentParser
from math import ceil
from resource import RUSAGE_SELF, getrusage
from time import process_time

import torch
import torch.nn.functional as F
from torch import Tensor

from dmix_core import BoxRegion, Composer, NoiseSchedule, Prediction, Spec, StillImage, TailResampling

SIDE = 32
STEPS = 40
SCENES = {  # name: (height, width, objects)
    "256 x 256, 1 object": (256, 256, 1),
    "2048 x 2048, 1 object": (2048, 2048, 1),
    "256 x 256, 8 objects": (256, 256, 8),
    "2048 x 2048, 8 objects": (2048, 2048, 8),
}
LARGE = {
    "1000 x 750, 200 objects": (750, 1000, 200),
    "4000 x 3000, 20 objects": (3000, 4000, 20),
    "9400 x 9400, 1 object": (9400, 9400, 1),
}


class Network:
    """A denoiser of convolutions with random weights, whose mask is a disc."""

    spec, noise = Spec((SIDE, SIDE), 3, 1), NoiseSchedule.linear()

    def __init__(self, width: int = 64) -> None:
        draw = torch.Generator().manual_seed(0)
        self.kernels = [
            torch.randn(out, given, 3, 3, generator=draw) / (3 * given**0.5)
            for given, out in ((4, width), (width, width), (width, width), (width, 4))
        ]
        axis = torch.linspace(-1, 1, SIDE)
        self.disc = (axis[:, None] ** 2 + axis**2 < 0.6).float() * 2 - 1

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        y = x_t
        for kernel in self.kernels:
            y = torch.tanh(F.conv2d(y, kernel, padding=1))
        return Prediction(torch.cat([y[:, :3], self.disc.expand(len(y), 1, SIDE, SIDE)], dim=1))


def scene(height: int, width: int, objects: int) -> Composer:
    """Objects side by side in a photograph, overlapping where there are many."""
    photo = torch.empty(3, height, width).uniform_(-1, 1)
    network, columns = Network(), ceil(objects**0.5)
    places = ((i % columns, i // columns) for i in range(objects))
    boxes = [
        (x * (width - SIDE) // columns, y * (height - SIDE) // ceil(objects / columns), SIDE, SIDE) for x, y in places
    ]
    above = [BoxRegion(network, box, f"object {i}", 1) for i, box in enumerate(boxes)]
    return Composer([BoxRegion(StillImage(photo)), *above], steps=STEPS, timesteps=TailResampling(4, 2), merge_from=0.5)


def seconds(composer: Composer, samples: int) -> float:
    start = process_time()
    composer.compose(samples)
    return process_time() - start


def times(rounds: int) -> dict[str, float]:
    """Seconds of the fastest of some rounds; the last entry is a batch of eight of the first scene."""
    composers = {name: (scene(*size), 1) for name, size in SCENES.items()}
    composers["256 x 256, 1 object, batch of 8"] = composers["256 x 256, 1 object"][0], 8
    best = dict.fromkeys(composers, float("inf"))
    for _ in range(rounds):
        for name, (composer, samples) in composers.items():
            best[name] = min(best[name], seconds(composer, samples))
    return best


def large(name: str) -> tuple[float, float]:
    """Seconds and the peak memory in GB of one scene, in this process."""
    taken = seconds(scene(*LARGE[name]), 1)
    return taken, getrusage(RUSAGE_SELF).ru_maxrss / 1e6


@torch.no_grad()
def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", choices=LARGE, help="one large scene alone, as JSON")
    given = parser.parse_args()
    if given.large:
        print(json.dumps(large(given.large)))
        return
    best = times(given.rounds)
    one, eight = best["256 x 256, 1 object"], best["256 x 256, 1 object, batch of 8"]
    for name, taken in best.items():
        print(f"{name:32} {taken:6.2f} s   {taken / (eight if '8' in name.split(', ')[-1] else one):5.2f}")
    for name in LARGE:
        run = subprocess.run([sys.executable, __file__, "--large", name], capture_output=True, text=True)
        if run.returncode:
            print(f"{name:32} failed: {run.stderr.strip().splitlines()[-1]}")
            continue
        taken, memory = json.loads(run.stdout)
        print(f"{name:32} {taken:6.2f} s   {memory:5.2f} GB")


if __name__ == "__main__":
    main()
