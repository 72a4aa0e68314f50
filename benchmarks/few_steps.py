"""The bundled pair in 30 + 45 network calls against 270, from the same seed: composites side by side, numbers, time.

    python benchmarks/few_steps.py [-n 24] [-o OUT]

Time is that of the processor, over all threads.
"""

import argparse
import time
from pathlib import Path

import torch
from resampling import FADED, row

from dmix_core import BoxRegion, Composer, Ddim, TailResampling
from dmix_core.files import writable_folder
from dmix_core.images import to_picture, write_png
from dmix_core.pictures import contact_sheet, enlarge
from dmix_core.quality import visibility
from dmix_core.steppers import Ancestral
from dmix_fewsteps import DpmSolver2M, FewSteps
from dmix_models import load

WAYS = {
    "270 calls": (Ancestral(), TailResampling()),
    "30 + 45, ancestral": (Ancestral(), FewSteps()),
    "30 + 45, ddim": (Ddim(), FewSteps()),
    "30 + 45, dpm-solver-2m": (DpmSolver2M(), FewSteps()),
    "the same, never ancestral": (DpmSolver2M(ancestral_from=1), FewSteps()),
}
SHOWN = 8


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-n", type=int, default=24)
    arguments.add_argument("-o", type=Path, default=Path("runs/few-steps"))
    given = arguments.parse_args()
    out = writable_folder(given.o)
    regions = [BoxRegion(load("tiles")), BoxRegion(load("defects").with_label("blowhole"), name="blowhole", z=1)]

    tiles = []
    print(f"{'':32s} {'edge':>5s} {'grain':>6s} {'contrast':>8s} {'faded':>6s}  {'seconds':>9s}")
    for title, (stepper, timesteps) in WAYS.items():
        start = time.process_time()
        composition = Composer(regions, timesteps=timesteps, stepper=stepper).compose(given.n)
        seconds = time.process_time() - start
        numbers = row(title, visibility(composition.image, composition.regions[1].visible), FADED)
        print(f"{numbers}  {seconds:9.1f}", flush=True)
        tiles += [enlarge(to_picture(image), 96) for image in composition.image[:SHOWN]]
    print(write_png(out / "few-steps.png", contact_sheet(tiles, min(given.n, SHOWN), titles=list(WAYS))))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
