"""Quality against network calls: composites in photographs, each way of saving calls on the same scenes and noise.

    python benchmarks/quality_vs_calls.py TRAIN MODEL CLASS [-n 200] [-o runs/quality-vs-calls]
    python benchmarks/quality_vs_calls.py TRAIN MODEL CLASS --table

TRAIN is the training part of the magnetic tiles, MODEL a checkpoint of objects of 64x64. Composites of a way are kept
in OUT/NAME.npz, so that an interrupted run goes on; `--table` measures what is there, and draws OUT/curve.png.

Two kinds of composites: "late" has the paper's settings (merged from 90 % on, hard mask 0.5), "early" those for labels
(listening from 30 % on, 0.4). Distances are Wasserstein's from real ones, in standard deviations of the real figure.
The yardstick of each kind is its way of most calls, in 250 levels, with the standard deviation of its distances over
runs of so many composites (bootstrap): a way keeps the quality where no distance is larger by more than twice that.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.stats import wasserstein_distance

from dmix_core import Ancestral, Box, BoxRegion, Composer, HardMask, Stepper, StillImage, TailResampling
from dmix_core.files import writable_folder, write_atomically
from dmix_core.images import write_png
from dmix_core.loading import Loader
from dmix_core.protocols import Denoiser, TimestepSchedule
from dmix_eval.object_figures import FIGURES
from dmix_eval.photographs import real_photographs
from dmix_eval.specimens import Specimen, real_specimens
from dmix_eval.two_sample import told_apart
from dmix_fewsteps import Ddim, DpmSolver2M, FewSteps

SIDE, SCENE, TOGETHER = 64, 96, 8  # pixels of a box and of a scene; scenes on one canvas
BLOCK = 40  # composites that every way makes before any makes more, so that it may be stopped at any time
BOOTSTRAP = 300
JUDGED = ("contrast", "visible share", "area", "pieces", "holes", "roughness", "edge", "grain", "spectrum")
LATE, EARLY = (None, 0.5), (0.3, 0.4)  # from when on objects listen, and the mask's threshold


class Scene(NamedTuple):
    """A window (SCENE, SCENE) of a photograph and the corner (x, y) of the box in it."""

    pixels: np.ndarray
    corner: tuple[int, int]


class Way(NamedTuple):
    """How composites are made.

    Attributes:
        listening: from when on objects listen, None: from 0.9 on; and the threshold of masks.
    """

    name: str
    listening: tuple[float | None, float]
    steps: int
    timesteps: TimestepSchedule
    stepper: Stepper = Ancestral()

    @property
    def calls(self) -> int:
        """Of a network, for one composite."""
        walk = self.timesteps(self.steps)
        return sum(after < before for before, after in pairwise(walk))

    @property
    def kind(self) -> str:
        return self.name.split()[0]


def few(steps: int, calls: int) -> FewSteps:
    """So many calls down to the merge window, and one climb of half of it."""
    return FewSteps(calls, jump_length=steps // 20 + steps % 20 // 10, resamples=1)


def never(kind: type[Ddim] | type[DpmSolver2M]) -> Stepper:
    return kind(ancestral_from=1)


WAYS = [
    Way("early 250", EARLY, 250, TailResampling(10, 1)),
    Way("early 100", EARLY, 100, TailResampling(5, 1)),
    Way("early 50", EARLY, 50, TailResampling(3, 1)),
    Way("early 30", EARLY, 30, TailResampling(2, 1)),
    Way("early 20", EARLY, 20, TailResampling(1, 1)),
    Way("early 20 ddim", EARLY, 20, TailResampling(1, 1), never(Ddim)),
    Way("early 20 dpm", EARLY, 20, TailResampling(1, 1), never(DpmSolver2M)),
    Way("early 10", EARLY, 10, TailResampling(1, 1)),
    Way("late 250", LATE, 250, TailResampling(10, 2)),
    Way("late 30+45", LATE, 250, FewSteps(30)),
    Way("late 10+45", LATE, 250, FewSteps(10)),
    Way("late 50+15", LATE, 100, few(100, 50)),
    Way("late 20+15", LATE, 100, few(100, 20)),
    Way("late 20+15 ddim", LATE, 100, few(100, 20), Ddim()),
    Way("late 20+15 dpm", LATE, 100, few(100, 20), DpmSolver2M()),
    Way("late 10+15", LATE, 100, few(100, 10)),
    Way("late 10+15 ddim", LATE, 100, few(100, 10), Ddim()),
    Way("late 10+15 dpm", LATE, 100, few(100, 10), DpmSolver2M()),
    Way("late 5+15", LATE, 100, few(100, 5)),
    Way("late 5+15 dpm", LATE, 100, few(100, 5), DpmSolver2M()),
    Way("late 10+8", LATE, 50, few(50, 10)),
]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("train", type=Path)
    arguments.add_argument("model")
    arguments.add_argument("class_name")
    arguments.add_argument("-n", type=int, default=200, help="composites of each way")
    arguments.add_argument("-o", type=Path, default=Path("runs/quality-vs-calls"))
    arguments.add_argument("--only", help="ways whose names begin so")
    arguments.add_argument("--table", action="store_true", help="measure what is there")
    given = arguments.parse_args()
    out = writable_folder(given.o)
    photographs = real_photographs(given.train, (given.class_name,))
    if given.table:
        report(out, real_specimens(photographs, SIDE))
        return
    denoiser = Loader().denoiser(f"checkpoint:{given.model}:{given.class_name}")
    scenes = [*scenes_of([each.image for each in photographs if each.normal], given.n)]
    ways = [way for way in WAYS if way.name.startswith(given.only or "")]
    for done in range(0, given.n, BLOCK):
        for way in ways:
            extend(out / f"{way.name}.npz", way, denoiser, scenes[: done + BLOCK])


def extend(path: Path, way: Way, denoiser: Denoiser, scenes: Sequence[Scene]) -> None:
    """Compose the scenes that a way lacks, and keep them beside those that it has."""
    held = {name: np.load(path)[name] for name in np.load(path)} if path.exists() else {}
    have = len(held.get("mask", ()))
    if have >= len(scenes):
        return
    start = process_time()
    found = composed(way, denoiser, scenes, have)
    seconds = held.pop("seconds", 0.0) + process_time() - start
    whole = {name: np.concatenate([held[name], each]) if held else each for name, each in found.items()}
    np.savez_compressed(path, **whole, seconds=seconds)
    count = len(whole["mask"])
    print(f"{way.name:20s} {count:4d} of {way.calls} calls, {seconds / count:.2f} s each", flush=True)


# ---- composing ------------------------------------------------------------------------------------------------


def scenes_of(images: Sequence[np.ndarray], count: int) -> Iterator[Scene]:
    """Windows of random photographs that are large enough."""
    random = np.random.default_rng(0)
    large = [image for image in images if min(image.shape) >= SCENE]
    for _ in range(count):
        image = large[random.integers(len(large))]
        y, x = (int(random.integers(0, side - SCENE + 1)) for side in image.shape)
        corner = tuple(int(each) for each in random.integers(0, SCENE - SIDE + 1, 2))
        yield Scene(image[y : y + SCENE, x : x + SCENE], (corner[0], corner[1]))


def composed(way: Way, denoiser: Denoiser, scenes: Sequence[Scene], first: int) -> dict[str, np.ndarray]:
    """Images, masks and twins (n, SIDE, SIDE) of the boxes of scenes from number `first` on.

    TOGETHER scenes lie side by side on a canvas, as one batch.
    """
    found = [_canvas(way, denoiser, scenes[i : i + TOGETHER], i) for i in range(first, len(scenes), TOGETHER)]
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _canvas(way: Way, denoiser: Denoiser, scenes: Sequence[Scene], number: int) -> dict[str, np.ndarray]:
    wide = np.concatenate([scene.pixels for scene in scenes], 1)
    boxes = [Box(i * SCENE + scene.corner[0], scene.corner[1], SIDE, SIDE) for i, scene in enumerate(scenes)]
    listen, threshold = way.listening
    objects = [BoxRegion(denoiser, box, f"object-{i}", 1, listen) for i, box in enumerate(boxes)]
    composer = Composer(
        [BoxRegion(StillImage.of(np.repeat(wide[..., None], 3, 2)), None, "photograph"), *objects],
        steps=way.steps,
        timesteps=way.timesteps,
        stepper=way.stepper,
        merge=HardMask(threshold),
    )
    (sample,) = composer.compose([number], seed=0).samples([number])
    image = ((sample.image.mean(0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    mask = sample.index.numpy() > 0
    return {
        name: np.stack([box.crop(torch.from_numpy(whole)).numpy() for box in boxes])
        for name, whole in (("image", image), ("mask", mask), ("twin", wide))
    }


# ---- measuring ------------------------------------------------------------------------------------------------


def specimens_of(path: Path) -> list[Specimen]:
    """The composites of a way that show an object."""
    held = np.load(path)
    images, masks, twins = (held[name] for name in ("image", "mask", "twin"))
    return [
        Specimen(str(i), str(i), image.astype(np.float32), mask, twin.astype(np.float32))
        for i, (image, mask, twin) in enumerate(zip(images, masks, twins, strict=True))
        if mask.any()
    ]


def measured(found: Sequence[Specimen]) -> dict[str, np.ndarray]:
    """The values of each judged figure, undefined ones left out."""
    values = {name: np.array([FIGURES[name].of(each) for each in found]) for name in JUDGED}
    return {name: each[~np.isnan(each)] for name, each in values.items()}


def distance(name: str, ours: np.ndarray, real: np.ndarray) -> float:
    """From real ones; what real ones have no twin for is measured from 1, where all of the label is seen."""
    if name == "visible share":
        return float(1 - ours.mean())
    return float(wasserstein_distance(ours, real) / (real.std() or 1.0))


def spread(name: str, ours: np.ndarray, real: np.ndarray) -> float:
    """The standard deviation of the distance over runs of so many composites."""
    random = np.random.default_rng(0)
    again = [distance(name, random.choice(ours, len(ours)), real) for _ in range(BOOTSTRAP)]
    return float(np.std(again))


def row(way: Way, path: Path, real: Sequence[Specimen], theirs: dict[str, np.ndarray]) -> dict[str, object]:
    """All figures of a way."""
    found, held = specimens_of(path), np.load(path)
    values = measured(found)
    unseen = 1 - len(found) / len(held["mask"])
    faint = float(np.quantile(np.abs(theirs["contrast"]), 0.05))
    return {
        "name": way.name,
        "calls": way.calls,
        "composites": len(held["mask"]),
        "seconds": float(held["seconds"]) / len(held["mask"]),
        "unseen": unseen,
        "erased": float((np.abs(values["contrast"]) < faint).mean()),
        "told apart": told_apart(found, real, True).value,
        "means": {name: float(each.mean()) for name, each in values.items()},
        "distances": {name: distance(name, values[name], theirs[name]) for name in JUDGED},
        "spreads": {name: spread(name, values[name], theirs[name]) for name in JUDGED},
    }


def yardstick_of(rows: Sequence[dict[str, object]]) -> dict[str, object]:
    """The way of most calls."""
    return max(rows, key=lambda each: int(each["calls"]))  # type: ignore[call-overload]


def judged(found: dict[str, object], yardstick: dict[str, object]) -> list[str]:
    """The figures that are further from real ones than the yardstick's by more than twice the spread."""
    ours, base, spreads = found["distances"], yardstick["distances"], yardstick["spreads"]
    worse = [name for name in JUDGED if ours[name] > base[name] + 2 * spreads[name]]  # type: ignore[index]
    n = float(yardstick["composites"])  # type: ignore[arg-type]
    for name in ("unseen", "erased"):
        p = float(yardstick[name])  # type: ignore[arg-type]
        if float(found[name]) > p + 2 * max(p * (1 - p) / n, 1 / n**2) ** 0.5:  # type: ignore[arg-type]
            worse.append(name)
    return worse


def report(out: Path, real: Sequence[Specimen]) -> None:
    """Print the table, and write it with the curve."""
    theirs = measured([*real])
    rows = [row(way, path, real, theirs) for way in WAYS if (path := out / f"{way.name}.npz").exists()]
    print("| way | calls | s | unseen | erased | told apart | " + " | ".join(JUDGED) + " | worse |")
    print("|---" * (len(JUDGED) + 7) + "|")
    real_means = " | ".join(f"{theirs[name].mean():.3g}" if len(theirs[name]) else "" for name in JUDGED)
    print(f"| real | | | | 0.05 | | {real_means} | |")
    for each in rows:
        kind = str(each["name"]).split()[0]
        each["worse"] = judged(each, yardstick_of([other for other in rows if str(other["name"]).startswith(kind)]))
        print(line(each))
    write_atomically(out / "quality.json", json.dumps(rows, indent=1).encode())
    print(write_png(out / "curve.png", curve(rows)))


def line(each: dict[str, object]) -> str:
    means, distances = each["means"], each["distances"]
    cells = [f"{means[name]:.3g} ({distances[name]:.2f})" for name in JUDGED]  # type: ignore[index]
    start = [str(each["name"]), str(each["calls"]), f"{each['seconds']:.2f}"]
    shares = [f"{each[name]:.2f}" for name in ("unseen", "erased", "told apart")]
    return f"| {' | '.join([*start, *shares, *cells, ', '.join(each['worse']) or 'none'])} |"  # type: ignore[arg-type]


# ---- the picture ----------------------------------------------------------------------------------------------

PANEL, EDGE = (300, 190), 34
COLOURS = {"ancestral": (31, 90, 180), "ddim": (200, 90, 20), "dpm": (30, 140, 60)}
SHOWN = ("contrast", "area", "edge", "grain", "roughness", "holes")


def curve(rows: Sequence[dict[str, object]]) -> Image.Image:
    """For both kinds, the distance of six figures from real ones over calls; the band is the yardstick +- 2 spreads."""
    kinds = [*dict.fromkeys(str(each["name"]).split()[0] for each in rows)]
    whole = Image.new("RGB", (PANEL[0] * len(SHOWN), PANEL[1] * len(kinds)), "white")
    for i, kind in enumerate(kinds):
        mine = [each for each in rows if str(each["name"]).startswith(kind)]
        for j, name in enumerate(SHOWN):
            whole.paste(panel(mine, name, f"{kind}: {name}"), (j * PANEL[0], i * PANEL[1]))
    return whole


def panel(rows: Sequence[dict[str, object]], name: str, title: str) -> Image.Image:
    """One figure's distance from real ones over calls, on a logarithmic axis from 10 to 300."""
    picture = Image.new("RGB", PANEL, "white")
    draw = ImageDraw.Draw(picture)
    distances = [each["distances"][name] for each in rows]  # type: ignore[index]
    first = yardstick_of(rows)
    base, wide = first["distances"][name], 2 * first["spreads"][name]  # type: ignore[index]
    top = max(*distances, base + wide) * 1.1
    across = PANEL[0] - EDGE - 8

    def x(calls: float) -> float:
        return EDGE + across * np.log(calls / 10) / np.log(30)

    def y(value: float) -> float:
        return PANEL[1] - EDGE - (PANEL[1] - 2 * EDGE) * value / top

    draw.rectangle((EDGE, y(base + wide), EDGE + across, y(max(0, base - wide))), fill=(228, 228, 228))
    draw.line((EDGE, y(0), EDGE + across, y(0)), fill="black")
    for calls in (10, 20, 50, 100, 250):
        draw.text((x(calls) - 6, y(0) + 4), str(calls), fill="black")
    for value in (0, top / 1.1):
        draw.text((2, y(value) - 5), f"{value:.2f}", fill="black")
    draw.text((EDGE, 8), title, fill="black")
    for each, value in zip(rows, distances, strict=True):
        colour = COLOURS[next((key for key in COLOURS if key in str(each["name"])), "ancestral")]
        spot = x(float(each["calls"])), y(value)  # type: ignore[arg-type]
        draw.ellipse((spot[0] - 3, spot[1] - 3, spot[0] + 3, spot[1] + 3), fill=colour)
    return picture


if __name__ == "__main__":
    with torch.inference_mode():
        main()
