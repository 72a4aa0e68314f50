"""What one step costs beside the network: one region of 4x32x32, against diffusers' DDPM loop in the same run.

    pip install diffusers && python benchmarks/step_overhead.py

Both loops have a network that takes no time, its noise prediction is made a clean image and clipped, and all noise is
drawn: by the composer for (seed, sample, region, purpose), by diffusers with torch.randn. Rounds alternate, and each
loop's fastest round counts, since whatever else the machine does only slows one down. Below 1 the composer is faster.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from time import process_time

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from dmix_core import BoxRegion, Composer, Descent, NoiseSchedule, Prediction, Spec

SHAPE = 4, 32, 32
STEPS = 250
THEIRS = "diffusers' DDPM loop"


class Instant:
    """A denoiser whose network takes no time: it always predicts the same noise."""

    spec, noise = Spec((32, 32), 3, 1), NoiseSchedule.linear()

    def __init__(self, epsilon: Tensor) -> None:
        self.epsilon = epsilon

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        return Prediction(self.noise.clean_from("epsilon", self.epsilon, x_t, t).clamp(-1, 1))


def composed(epsilon: Tensor, merge_from: float) -> Callable[[], None]:
    composer = Composer([BoxRegion(Instant(epsilon))], steps=STEPS, timesteps=Descent(), merge_from=merge_from)

    def run() -> None:
        for _ in composer.steps(len(epsilon)):
            pass

    return run


def diffused(epsilon: Tensor) -> Callable[[], None]:
    scheduler = DDPMScheduler(1000, beta_schedule="linear", timestep_spacing="leading")
    scheduler.set_timesteps(STEPS)

    def run() -> None:
        x, generator = torch.randn(epsilon.shape), torch.Generator().manual_seed(0)
        for t in scheduler.timesteps:
            x = scheduler.step(epsilon, t, x, generator=generator).prev_sample

    return run


def fastest(loops: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Microseconds of a step of each loop, in its fastest round."""
    best = dict.fromkeys(loops, float("inf"))
    for _ in range(rounds):
        for name, loop in loops.items():
            start = process_time()
            loop()
            best[name] = min(best[name], 1e6 * (process_time() - start) / STEPS)
    return best


@torch.no_grad()
def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for batch in (1, 4):
        epsilon = torch.randn(batch, *SHAPE)
        loops = {
            THEIRS: diffused(epsilon),
            "composer, alone": composed(epsilon, 1.0),
            "composer, merging from 90 % on": composed(epsilon, 0.9),
        }
        taken = fastest(loops, given.rounds)
        print(f"batch {batch}, {given.threads} threads")
        for name, microseconds in taken.items():
            print(f"  {name:32} {microseconds:6.0f} µs   {microseconds / taken[THEIRS]:.2f}")


if __name__ == "__main__":
    main()
