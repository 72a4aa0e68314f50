"""What the gradient-domain merge of dmix-poisson does at the seam, against hard and soft masks.

For each rule the bundled pair of models, pasted at the end without merging, then merged with and without resampling.
Medians over the samples: the step at the contour that the object's painter did not draw, in grey levels; edge and grain
as in dmix_core.quality, where 1 is no seam in structure; contrast in grey levels; and the share of objects that faded.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dmix_core import BoxRegion, Composer, Composition, Descent, HardMask, MergeRule, TailResampling
from dmix_core.composition import finish
from dmix_core.files import writable_folder
from dmix_core.images import to_picture, write_png
from dmix_core.meeting import Meeting
from dmix_core.pictures import contact_sheet, enlarge
from dmix_core.quality import visibility
from dmix_models import load
from dmix_poisson import Poisson
from dmix_soft_mask import SoftMask

RULES: dict[str, MergeRule] = {"hard": HardMask(), "soft": SoftMask(feather=1), "poisson": Poisson()}
BATCH, SHOWN, FADED = 8, 8, 6.0  # FADED as in resampling.py


def added_step(composition: Composition) -> Tensor:
    """Along the contour the mean of |step in the picture - step in the object's own layer|, in grey levels, (B,)."""
    thing = composition.regions[1]
    difference = 127.5 * (composition.image - thing.image).mean(1, keepdim=True)
    total = torch.zeros(len(difference))
    pairs = torch.zeros(len(difference))
    for axis in (2, 3):
        here, there = (thing.visible.narrow(axis, start, thing.visible.shape[axis] - 1) for start in (0, 1))
        contour = here != there
        total += (difference.diff(dim=axis).abs() * contour).sum((1, 2, 3))
        pairs += contour.sum((1, 2, 3))
    return total / pairs


def compositions(samples: list[int], steps: int) -> Iterator[tuple[str, Composition]]:
    """What was done, and the finished compositions."""
    regions = [BoxRegion(load("tiles")), BoxRegion(load("defects").with_label("blowhole"), name="blowhole", z=1)]
    *_, last = Composer(regions, steps=steps, timesteps=Descent(), merge_from=1).steps(samples)
    for name, rule in RULES.items():
        pasted = [Meeting(each.window, each.layers, rule(each.layers, 1.0)) for each in last.canvas.meetings]
        yield f"pasted, {name}", finish(replace(last.canvas, meetings=pasted), rule)
    for name, rule in RULES.items():
        composer = Composer(regions, steps=steps, timesteps=TailResampling(10, 2), merge=rule)
        finished = [composer.finish(step) for step in composer.steps(samples) if step.s == 0]
        yield f"merged, {name}", finished[0]
        yield f"merged, r = 2, {name}", finished[-1]


def row(name: str, parts: list[Composition]) -> str:
    """A line of the table."""
    added = torch.cat([added_step(part) for part in parts])
    seen = [visibility(part.image, part.regions[1].visible) for part in parts]
    contrast, edge, grain = (torch.cat(values) for values in zip(*seen, strict=True))
    there = contrast.isfinite()
    medians = [values[there].median().item() for values in (added, edge, grain, contrast)]
    faded = 100 * (contrast[there] < FADED).float().mean()
    return f"{name:24s} {{:6.1f}} {{:6.1f}} {{:6.2f}} {{:8.0f}} {faded:6.0f} %".format(*medians)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-n", type=int, default=24)
    arguments.add_argument("--steps", type=int, default=100)
    arguments.add_argument("-o", type=Path, default=Path("runs/poisson"))
    given = arguments.parse_args()
    out = writable_folder(given.o)

    numbers = list(range(given.n))
    done: dict[str, list[Composition]] = {}
    for start in range(0, given.n, BATCH):
        for name, composition in compositions(numbers[start : start + BATCH], given.steps):
            done.setdefault(name, []).append(composition)
    print(f"{'':24s} {'step':>6s} {'edge':>6s} {'grain':>6s} {'contrast':>8s} {'faded':>6s}")
    for name, parts in done.items():
        print(row(name, parts))
    tiles = [enlarge(to_picture(image), 96) for parts in done.values() for image in parts[0].image[:SHOWN]]
    print(write_png(out / "poisson.png", contact_sheet(tiles, min(given.n, SHOWN), titles=list(done))))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
