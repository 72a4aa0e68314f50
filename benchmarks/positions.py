"""Where few moves down to the merge window had best stop: a shortest path over the levels of the model's own way.

    python benchmarks/positions.py MODEL CLASS [--moves 10 5] [-n 8] [--levels 100]

As in Watson et al. 2021 (arXiv:2106.03802), one pass level by level gives what any move between two levels costs, and
the cheapest way of so many moves follows by dynamic programming. The cost of a move is the root mean square difference
of where a deterministic move ends from where the pass is at that level. Both ways, evenly spread levels and chosen
ones, are then walked from other noise, and held against the pass at the window.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from dmix_core.draws import normal
from dmix_models import NetworkDenoiser, load
from dmix_models.distillation import levels_of, moved, window_of

WINDOW = 0.9


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("class_name")
    arguments.add_argument("--moves", type=int, nargs="+", default=[10, 5])
    arguments.add_argument("-n", type=int, default=8, help="images that the costs are of, and that ways are tried on")
    arguments.add_argument("--levels", type=int, default=100, help="T")
    given = arguments.parse_args()
    denoiser = load(given.model).with_label(given.class_name)
    fine = levels_of(given.levels, WINDOW, given.levels - window_of(given.levels, WINDOW))
    costs = costs_of(denoiser, given.levels, walked(denoiser, given.levels, fine, range(given.n)), fine)
    others = range(given.n, 2 * given.n)
    aim = walked(denoiser, given.levels, fine, others)[-1][0]
    print("| moves | levels | off at the window |\n|---|---|---|")
    for moves in given.moves:
        chosen = [fine[i] for i in cheapest(costs, moves)]
        for name, way in (("even", levels_of(given.levels, WINDOW, moves)), ("chosen", chosen)):
            off = rms(walked(denoiser, given.levels, way, others)[-1][0], aim)
            print(f"| {moves}, {name} | {', '.join(map(str, way))} | {off:.3f} |", flush=True)


def walked(
    denoiser: NetworkDenoiser, steps: int, levels: Sequence[int], samples: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """The states (n, C + M, h, w) at these levels by deterministic moves, and the clean images predicted from them."""
    noise = denoiser.noise.respace(steps)
    x = normal(denoiser.spec.shape, seed=0, samples=samples, region="object", purpose="start")
    found = []
    for t, s in pairwise(levels):
        clean = denoiser(x, noise.levels[t]).clean
        found.append((x, clean))
        x = moved(noise, x, clean, t, s)
    return [*found, (x, x)]  # from the last one no move is made


def costs_of(
    denoiser: NetworkDenoiser, steps: int, states: Sequence[tuple[Tensor, Tensor]], levels: Sequence[int]
) -> np.ndarray:
    """(n, n): what the move from the i-th of these levels to the j-th costs; infinite where it leads up."""
    noise, costs = denoiser.noise.respace(steps), np.full((len(levels), len(levels)), np.inf)
    for i, (x, clean) in enumerate(states):
        for j in range(i + 1, len(levels)):
            costs[i, j] = rms(moved(noise, x, clean, levels[i], levels[j]), states[j][0])
    return costs


def rms(one: Tensor, other: Tensor) -> float:
    return float(((one - other) ** 2).mean() ** 0.5)


def cheapest(costs: np.ndarray, moves: int) -> list[int]:
    """The stops, from the first to the last, of the cheapest way of so many moves."""
    best, before = np.where(np.arange(len(costs)) == 0, 0.0, np.inf), []
    for _ in range(moves):
        through = best[:, None] + costs
        before.append(through.argmin(0))
        best = through.min(0)
    stops = [len(costs) - 1]
    for came in reversed(before):
        stops.append(int(came[stops[-1]]))
    return stops[::-1]


if __name__ == "__main__":
    with torch.inference_mode():
        main()
