"""Where the time of a composite goes: network calls, and everything else (noise, steps, merging, checks).

Both are measured within one run of the bundled pair; the share of everything else should be under 5 %.
"""

import time
from collections.abc import Callable

import torch

from dmix_core import BoxRegion, Composer, Prediction
from dmix_models import load


class Timed:
    """A denoiser that adds up the seconds spent in it."""

    def __init__(self, denoiser: Callable[[torch.Tensor, int], Prediction]) -> None:
        self.denoiser, self.spec, self.noise = denoiser, denoiser.spec, denoiser.noise
        self.seconds, self.calls = 0.0, 0

    def __call__(self, x_t: torch.Tensor, t: int) -> Prediction:
        start = time.perf_counter()
        prediction = self.denoiser(x_t, t)
        self.seconds += time.perf_counter() - start
        self.calls += 1
        return prediction


def measure(samples: int) -> None:
    tiles, blowhole = Timed(load("tiles")), Timed(load("defects").with_label("blowhole"))
    composer = Composer([BoxRegion(tiles), BoxRegion(blowhole, name="blowhole", z=1)])
    start = time.perf_counter()
    composer.compose(samples)
    total = time.perf_counter() - start
    network = tiles.seconds + blowhole.seconds
    rest = total - network
    print(
        f"{samples} composites: {total:.2f} s; networks {network:.2f} s in {tiles.calls} + {blowhole.calls} calls, "
        f"everything else {rest:.2f} s = {100 * rest / total:.1f} %"
    )


if __name__ == "__main__":
    for samples in (1, 8):
        measure(samples)
