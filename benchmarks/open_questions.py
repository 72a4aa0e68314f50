"""What the paper left open, by the truth of the label: climbs, where merging begins, merge rules, eq. 9, resized boxes.

    python benchmarks/open_questions.py TRAIN OBJECT TILES [-n 40] [-o runs/open-questions.json]

TRAIN is the training part of the magnetic tiles, OBJECT and TILES models of 64x64: defects:blowhole and tiles, say.
One setting differs from `early` (photographs: listening from 0.3 of the denoising on, one climb of 5 levels of T = 100,
hard mask from 0.4) or from `tiles` (the same on generated tiles, both merging from 0.9 on). All settings have the same
scenes and noise. What is in OUT already is not made again.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import torch
from quality_vs_calls import (
    JUDGED,
    SIDE,
    TOGETHER,
    Scene,
    again,
    cut_out,
    distance,
    grey,
    measured,
    scenes_of,
    side_by_side_on,
    specimens,
)

from dmix_core import BoxRegion, Composer, Exchange, HardMask, Layer, Merged, TailResampling
from dmix_core.files import write_atomically
from dmix_core.loading import Loader
from dmix_core.protocols import Denoiser, MergeRule
from dmix_core.sample import Sample
from dmix_eval.photographs import real_photographs
from dmix_eval.specimens import Specimen, real_specimens
from dmix_poisson import Poisson
from dmix_soft_mask import SoftMask

STEPS = 100


@dataclass(frozen=True)
class Growing:
    """A hard mask that grows into place: its threshold falls from 0.9 to `threshold` while the regions merge."""

    threshold: float = 0.4

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        left = min(1.0, (1 - progress) / 0.7)
        return HardMask(self.threshold + (0.9 - self.threshold) * left)(layers, progress)


class Setting(NamedTuple):
    """What composites are made by.

    Attributes:
        side: of the object's box in pixels; 64 is its own.
        background: from when on a generated background listens; None: a photograph.
    """

    listen_from: float = 0.3
    timesteps: TailResampling = TailResampling(5, 1)
    merge: MergeRule = HardMask(0.4)
    exchange: Exchange = Exchange()
    side: int = SIDE
    background: float | None = None


EARLY = Setting()
TILES = Setting(listen_from=0.9, merge=HardMask(0.5), background=0.9)
SETTINGS = {
    "early": EARLY,
    "tau 5, r 0": EARLY._replace(timesteps=TailResampling(5, 0)),
    "tau 5, r 2": EARLY._replace(timesteps=TailResampling(5, 2)),
    "tau 5, r 5": EARLY._replace(timesteps=TailResampling(5, 5)),
    "tau 2, r 2": EARLY._replace(timesteps=TailResampling(2, 2)),
    "tau 10, r 2": EARLY._replace(timesteps=TailResampling(10, 2)),
    "listens from 0.5": EARLY._replace(listen_from=0.5),
    "listens from 0.7": EARLY._replace(listen_from=0.7),
    "listens from 0.9": EARLY._replace(listen_from=0.9),
    "listens from 0.95": EARLY._replace(listen_from=0.95),
    "listens from 0.9, threshold 0.5": EARLY._replace(listen_from=0.9, merge=HardMask(0.5)),
    "soft mask": EARLY._replace(merge=SoftMask()),
    "soft mask, feather 1": EARLY._replace(merge=SoftMask(1)),
    "Poisson": EARLY._replace(merge=Poisson(0.4)),
    "growing mask": EARLY._replace(merge=Growing()),
    "box 48x48": EARLY._replace(side=48),
    "box 80x80": EARLY._replace(side=80),
    "tiles": TILES,
    "tiles, literal eq. 9": TILES._replace(exchange=Exchange(others="noisy")),
    "tiles, object from 0.7": TILES._replace(listen_from=0.7),
    "tiles, object from 0.3": TILES._replace(listen_from=0.3),
    "tiles, background from 0.7": TILES._replace(background=0.7),
    "tiles, both from 0.7": TILES._replace(listen_from=0.7, background=0.7),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("train", type=Path)
    arguments.add_argument("object")
    arguments.add_argument("tiles")
    arguments.add_argument("-n", type=int, default=40, help="composites of each setting")
    arguments.add_argument("-o", type=Path, default=Path("runs/open-questions.json"))
    given = arguments.parse_args()
    photographs = real_photographs(given.train, (given.object.rpartition(":")[2],))
    scenes = [*scenes_of([each.image for each in photographs if each.normal], given.n)]
    real = [*real_specimens(photographs, SIDE)]
    denoisers = [Loader().denoiser(each) for each in (given.object, given.tiles)]
    found = json.loads(given.o.read_text()) if given.o.exists() else {}
    for name, setting in SETTINGS.items():
        if name not in found:
            start = process_time()
            made = composed(setting, denoisers, scenes)
            found[name] = figures(made, given.n, real) | {"seconds": (process_time() - start) / given.n}
            write_atomically(given.o, json.dumps(found, indent=1).encode())
            print(name, f"{found[name]['seconds']:.2f} s each", flush=True)
    print(table(found))


def composed(setting: Setting, denoisers: Sequence[Denoiser], scenes: Sequence[Scene]) -> list[Specimen]:
    """The box of each scene that shows an object."""
    starts = range(0, len(scenes), TOGETHER)
    if setting.background is None:
        parts = [_in_photographs(setting, denoisers[0], scenes[i : i + TOGETHER], i) for i in starts]
    else:
        parts = [_on_tiles(setting, denoisers, range(i, min(i + TOGETHER, len(scenes)))) for i in starts]
    return [each for part in parts for each in part]


def _samples(setting: Setting, regions: Sequence[BoxRegion], numbers: Sequence[int]) -> list[Sample]:
    composer = Composer(
        regions, steps=STEPS, timesteps=setting.timesteps, merge=setting.merge, exchange=setting.exchange
    )
    return [*composer.compose(numbers, seed=0).samples(numbers)]


def _in_photographs(setting: Setting, denoiser: Denoiser, scenes: Sequence[Scene], number: int) -> list[Specimen]:
    wide, regions = side_by_side_on(denoiser, scenes, setting.listen_from, setting.side)
    (sample,) = _samples(setting, regions, [number])
    found = cut_out(sample, wide, regions[1:])
    return specimens(found["image"], found["mask"], found["twin"])


def _on_tiles(setting: Setting, denoisers: Sequence[Denoiser], numbers: Sequence[int]) -> list[Specimen]:
    below = BoxRegion(denoisers[1], None, "tile", 0, setting.background)
    above = BoxRegion(denoisers[0], None, "object", 1, setting.listen_from)
    made = _samples(setting, [below, above], [*numbers])
    masks = [each.index.numpy() > 0 for each in made]
    return specimens([grey(each.image) for each in made], masks, [None] * len(made))


def figures(made: Sequence[Specimen], count: int, real: Sequence[Specimen]) -> dict[str, Any]:
    """Empty masks of so many composites; means, distances from real ones and these distances' standard deviations."""
    ours, theirs = measured(made), measured(real)
    shown = {name: each for name, each in ours.items() if len(each)}
    return {
        "empty": 1 - len(made) / count,
        "brighter": float((ours["contrast"] > 0).mean()),
        "means": {name: float(each.mean()) for name, each in shown.items()},
        "distances": {name: distance(name, each, theirs[name]) for name, each in shown.items()},
        "spreads": {name: float(each.std()) for name, each in again(shown, theirs).items()},
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """Means, with the distance from real ones in brackets."""
    lines = [["setting", "s", "empty", "brighter", *JUDGED], ["---"] * (4 + len(JUDGED))]
    for name, each in found.items():
        cells = [
            f"{each['means'][key]:.3g} ({each['distances'][key]:.2f})" if key in each["means"] else "" for key in JUDGED
        ]
        lines.append([name, f"{each['seconds']:.1f}", f"{each['empty']:.2f}", f"{each['brighter']:.2f}", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
