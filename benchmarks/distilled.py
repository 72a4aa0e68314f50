"""How near a distilled model ends to where its teacher ends: states and clean images at the merge window.

    dmix distill MODEL -o STUDENT
    python benchmarks/distilled.py MODEL STUDENT [-n 32] [--moves 8] [--moves-from 32]

All go from the same noise down to 10 % of T = 250 by deterministic moves: the teacher in 250 - 25 moves, which stands
for where it leads, in `moves_from`, in as few as the student, and the student. Root mean square differences from the
first one; classes in turn.
"""

import argparse
from itertools import pairwise

import torch
from torch import Tensor

from dmix_core.draws import normal
from dmix_models import NetworkDenoiser, load
from dmix_models.distillation import levels_of, moved, window_of

LEVELS, WINDOW = 250, 0.9


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("teacher")
    arguments.add_argument("student")
    arguments.add_argument("-n", type=int, default=32)
    arguments.add_argument("--moves", type=int, default=8)
    arguments.add_argument("--moves-from", type=int, default=32)
    given = arguments.parse_args()
    teacher, student = load(given.teacher), load(given.student)
    rows = {
        "teacher, level by level": (teacher, LEVELS - window_of(LEVELS, WINDOW)),
        f"teacher, {given.moves_from}": (teacher, given.moves_from),
        f"teacher, {given.moves}": (teacher, given.moves),
        f"student, {given.moves}": (student, given.moves),
    }
    aim = None
    print("| moves | state | image | mask |\n|---|---|---|---|")
    for title, (denoiser, moves) in rows.items():
        end = ends(denoiser, teacher, moves, given.n)
        aim = end if aim is None else aim
        print(f"| {title} | {' | '.join(differences(end, aim, teacher.spec.image_channels))} |", flush=True)


def ends(denoiser: NetworkDenoiser, teacher: NetworkDenoiser, moves: int, count: int) -> tuple[Tensor, Tensor]:
    """States (n, C + M, h, w) at the window, and the clean images that the teacher sees in them."""
    kinds = [*denoiser.kinds()]
    parts = [_end(denoiser, teacher, kind, moves, range(i, count, len(kinds))) for i, kind in enumerate(kinds)]
    state, clean = (torch.cat(each) for each in zip(*parts, strict=True))
    return state, clean


def _end(
    denoiser: NetworkDenoiser, teacher: NetworkDenoiser, kind: str | None, moves: int, samples: range
) -> tuple[Tensor, Tensor]:
    walked, judge = (each if kind is None else each.with_label(kind) for each in (denoiser, teacher))
    noise, walk = walked.noise.respace(LEVELS), levels_of(LEVELS, WINDOW, moves)
    x = normal(walked.spec.shape, seed=0, samples=samples, region="object", purpose="start")
    for t, s in pairwise(walk):
        x = moved(noise, x, walked(x, noise.levels[t]).clean, t, s)
    return x, judge(x, noise.levels[walk[-1]]).clean


def differences(end: tuple[Tensor, Tensor], aim: tuple[Tensor, Tensor], channels: int) -> list[str]:
    """Of the states, and of the image and the mask of the clean images."""
    (state, clean), (other, image) = end, aim
    pairs = [(state, other), (clean[:, :channels], image[:, :channels]), (clean[:, channels:], image[:, channels:])]
    return [f"{float(((a - b) ** 2).mean() ** 0.5):.4f}" if a.numel() else "" for a, b in pairs]


if __name__ == "__main__":
    with torch.inference_mode():
        main()
