"""Quality against network calls: each way of saving them on the same scenes and noise.

    python benchmarks/quality_vs_calls.py TRAIN MODEL:CLASS [--student STUDENT:CLASS] [--tiles TILES] [-n 200] [-o OUT]
    python benchmarks/quality_vs_calls.py TRAIN MODEL:CLASS --table [--checked]

TRAIN is the training part of the magnetic tiles, MODEL one of objects of 64x64, STUDENT what `dmix distill` made of it,
TILES one of backgrounds of 64x64. Composites of a way are kept in OUT/NAME.npz, so that an interrupted run goes on;
`--table` measures what is there, and draws OUT/curve.png and OUT/side-by-side.png. With `--checked` the figures are
those of what the checks of `dmix generate --reject` pass, as a set has them, and calls those for one that passes.

Three kinds of composites: "late" has the paper's settings in photographs (merged from 90 % on, hard mask 0.5), "early"
those for labels there (listening from 30 % on, 0.4), and "painted" a background by TILES, with either. Distances are
Wasserstein's from real ones, in standard deviations of the real figure.
The yardstick of each kind is its way of most calls, in 250 levels, with the standard deviation of its distances over
runs of so many composites (bootstrap): a way keeps the quality where no distance is larger by more than twice that.
With eleven figures a way that differs in nothing fails that now and then; how often is measured, and printed, with the
number of spreads that only one of twenty such runs exceeds in any figure.
"""

import argparse
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.stats import wasserstein_distance

from dmix_core import Ancestral, Box, BoxRegion, Composer, Ddim, HardMask, Stepper, StillImage, TailResampling
from dmix_core.files import writable_folder, write_atomically
from dmix_core.images import write_png
from dmix_core.loading import Loader
from dmix_core.pictures import contact_sheet, enlarge
from dmix_core.protocols import Denoiser, TimestepSchedule
from dmix_core.sample import Sample
from dmix_core.walker import Begun
from dmix_eval.object_figures import FIGURES
from dmix_eval.photographs import real_photographs
from dmix_eval.specimens import Specimen, real_specimens
from dmix_eval.two_sample import told_apart
from dmix_factory.generate_config import GenerateConfig
from dmix_factory.measured import real_objects, usual_traits
from dmix_factory.sample_checks import flags_of
from dmix_factory.shots import Shot
from dmix_factory.traits import Limits
from dmix_fewsteps import DpmSolver2M, FewSteps
from dmix_models.distillation import window_of

SIDE, SCENE, TOGETHER = 64, 96, 8  # pixels of a box and of a scene; scenes on one canvas
BLOCK = 40  # composites that every way makes before any makes more, so that it may be stopped at any time
BOOTSTRAP = 300
JUDGED = ("contrast", "visible share", "area", "pieces", "holes", "roughness", "edge", "grain", "spectrum")
SHARES = ("unseen", "erased")  # of composites: without an object in the mask, or with one fainter than real ones
LEAST = 0.01  # spread that counts: what passes the checks has one piece, always
LATE, EARLY = (None, 0.5), (0.3, 0.4)  # from when on objects listen, and the mask's threshold


class Scene(NamedTuple):
    """A window (SCENE, SCENE) of a photograph and the corner (x, y) of the box in it."""

    pixels: np.ndarray
    corner: tuple[int, int]


class Way(NamedTuple):
    """How composites are made.

    Attributes:
        listening: from when on objects listen, None: from 0.9 on; and the threshold of masks.
        share: how many scenes have one object up to the merge window.
        distilled: whether the student paints in the model's place.
        painted: whether a model paints the background, too.
    """

    name: str
    listening: tuple[float | None, float]
    steps: int
    timesteps: TimestepSchedule
    stepper: Stepper = Ancestral()
    share: int = 1
    distilled: bool = False
    painted: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """Whose networks are called, the background's first."""
        return (*(("tiles",) if self.painted else ()), "student" if self.distilled else "object")

    @property
    def calls(self) -> int:
        """Of each network, for one composite."""
        left = [t for t, s in pairwise(self.timesteps(self.steps)) if s < t]
        alone = sum(t > window_of(self.steps, 0.9) for t in left)
        return round(alone / self.share) + len(left) - alone


def few(steps: int, calls: int) -> FewSteps:
    """So many calls down to the merge window, and one climb of half of it."""
    return FewSteps(calls, jump_length=steps // 20 + steps % 20 // 10, resamples=1)


def never(kind: type[Ddim] | type[DpmSolver2M]) -> Stepper:
    return kind(ancestral_from=1)


WAYS = [
    Way("early 250", EARLY, 250, TailResampling(10, 1)),
    Way("early 100", EARLY, 100, TailResampling(5, 1)),
    Way("early 50", EARLY, 50, TailResampling(3, 1)),
    Way("early 50 ddim", EARLY, 50, TailResampling(3, 1), never(Ddim)),
    Way("early 30 ddim", EARLY, 30, TailResampling(2, 1), never(Ddim)),
    Way("early 30", EARLY, 30, TailResampling(2, 1)),
    Way("early 20", EARLY, 20, TailResampling(1, 1)),
    Way("early 20 ddim", EARLY, 20, TailResampling(1, 1), never(Ddim)),
    Way("early 20 dpm", EARLY, 20, TailResampling(1, 1), never(DpmSolver2M)),
    Way("early 10", EARLY, 10, TailResampling(1, 1)),
    Way("late 250", LATE, 250, TailResampling(10, 2)),
    Way("late 50", LATE, 50, TailResampling(3, 1)),
    Way("late 30", LATE, 30, TailResampling(2, 1)),
    Way("late 50+15", LATE, 100, few(100, 50)),
    Way("late 30+45", LATE, 250, FewSteps(30)),
    Way("late 30+45 shared", LATE, 250, FewSteps(30), share=4),
    Way("late 10+45", LATE, 250, FewSteps(10)),
    Way("late 8+45 distilled", LATE, 250, FewSteps(8), Ddim(), distilled=True),
    Way("late 20+15", LATE, 100, few(100, 20)),
    Way("late 20+15 ddim", LATE, 100, few(100, 20), Ddim()),
    Way("late 20+15 dpm", LATE, 100, few(100, 20), DpmSolver2M()),
    Way("late 10+15", LATE, 100, few(100, 10)),
    Way("late 10+15 ddim", LATE, 100, few(100, 10), Ddim()),
    Way("late 10+15 dpm", LATE, 100, few(100, 10), DpmSolver2M()),
    Way("late 8+15 distilled", LATE, 100, few(100, 8), Ddim(), distilled=True),
    Way("late 5+15", LATE, 100, few(100, 5)),
    Way("late 5+15 dpm", LATE, 100, few(100, 5), DpmSolver2M()),
    Way("late 20+10", LATE, 100, FewSteps(20, resamples=0)),
    Way("late 20+8", LATE, 50, few(50, 20)),
    Way("late 10+8", LATE, 50, few(50, 10)),
    Way("painted 250", LATE, 250, TailResampling(10, 2), painted=True),
    Way("painted 100", LATE, 100, TailResampling(5, 1), painted=True),
    Way("painted 50", LATE, 50, TailResampling(3, 1), painted=True),
    Way("painted 20 early", EARLY, 20, TailResampling(1, 1), painted=True),
    Way("painted 20 ddim early", EARLY, 20, TailResampling(1, 1), never(Ddim), painted=True),
    Way("painted 10+8 ddim early", EARLY, 50, few(50, 10), Ddim(), painted=True),
    Way("painted 10+8 ddim", LATE, 50, few(50, 10), Ddim(), painted=True),
]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("train", type=Path)
    arguments.add_argument("model")
    arguments.add_argument("-n", type=int, default=200, help="composites of each way")
    arguments.add_argument("-o", type=Path, default=Path("runs/quality-vs-calls"))
    arguments.add_argument("--student", help="of the model; without one, its ways are left out")
    arguments.add_argument("--tiles", help="paints backgrounds; without one, its ways are left out")
    arguments.add_argument("--only", nargs="+", help="ways by their names, or all of a kind: early, late, painted")
    arguments.add_argument("--table", action="store_true", help="measure what is there")
    arguments.add_argument("--checked", action="store_true", help="only what the checks of generated sets pass")
    given = arguments.parse_args()
    out = writable_folder(given.o)
    photographs = real_photographs(given.train, (given.model.rpartition(":")[2],))
    if given.table:
        usual = usual_traits(real_objects(given.train), given.model.rpartition(":")[2]) if given.checked else None
        report(out, real_specimens(photographs, SIDE), usual)
        return
    names = {"object": given.model, "student": given.student, "tiles": given.tiles}
    denoisers = {name: Loader().denoiser(model) for name, model in names.items() if model}
    scenes = [*scenes_of([each.image for each in photographs if each.normal], given.n)]
    named = [way for way in WAYS if not given.only or {way.name, way.name.split()[0]} & {*given.only}]
    ways = [way for way in named if {*way.models} <= {*denoisers}]
    for done in range(0, given.n, BLOCK):
        for way in ways:
            extend(out / f"{way.name}.npz", way, [denoisers[name] for name in way.models], scenes[: done + BLOCK])


def extend(path: Path, way: Way, denoisers: Sequence[Denoiser], scenes: Sequence[Scene]) -> None:
    """Compose the scenes that a way lacks, and keep them beside those that it has."""
    held = {name: np.load(path)[name] for name in np.load(path)} if path.exists() else {}
    have = len(held.get("mask", ()))
    if have >= len(scenes):
        return
    start = process_time()
    found = composed(way, denoisers, scenes, have)
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


def composed(way: Way, denoisers: Sequence[Denoiser], scenes: Sequence[Scene], first: int) -> dict[str, np.ndarray]:
    """Images, masks and twins (n, SIDE, SIDE) of the boxes of scenes from number `first` on; painted ones lack twins.

    TOGETHER scenes are one batch: photographs lie side by side on a canvas.
    """
    parts = (range(i, min(i + TOGETHER, len(scenes))) for i in range(first, len(scenes), TOGETHER))
    if way.painted:
        found = [_painted(way, denoisers, numbers) for numbers in parts]
    else:
        found = [_canvas(way, denoisers[0], [scenes[i] for i in numbers], numbers[0]) for numbers in parts]
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _painted(way: Way, denoisers: Sequence[Denoiser], numbers: Sequence[int]) -> dict[str, np.ndarray]:
    tiles, thing = denoisers
    regions = [BoxRegion(tiles, None, "tile"), BoxRegion(thing, Box(0, 0, SIDE, SIDE), "object", 1, way.listening[0])]
    samples = [*composer_of(way, regions).compose(numbers).samples(numbers)]
    return {
        "image": np.stack([grey(each.image) for each in samples]),
        "mask": np.stack([each.index.numpy() > 0 for each in samples]),
    }


def _canvas(way: Way, denoiser: Denoiser, scenes: Sequence[Scene], number: int) -> dict[str, np.ndarray]:
    wide, regions = side_by_side_on(denoiser, scenes, way.listening[0])
    begun = None if way.share == 1 else shared(way, regions[0], regions[1:], number)
    composer = composer_of(way, regions)
    last = deque(composer.steps([number], 0, begun), maxlen=1).pop()
    (sample,) = composer.finish(last).samples([number])
    return cut_out(sample, wide, regions[1:])


def side_by_side_on(
    denoiser: Denoiser, scenes: Sequence[Scene], listen_from: float | None, side: int = SIDE
) -> tuple[np.ndarray, list[BoxRegion]]:
    """Scenes side by side (SCENE, n * SCENE); they as a photograph, and an object in the box of each, of this side."""
    wide, room = np.concatenate([scene.pixels for scene in scenes], 1), SCENE - side
    corners = [(i * SCENE + min(scene.corner[0], room), min(scene.corner[1], room)) for i, scene in enumerate(scenes)]
    objects = [
        BoxRegion(denoiser, Box(*corner, side, side), f"object-{i}", 1, listen_from) for i, corner in enumerate(corners)
    ]
    return wide, [BoxRegion(StillImage.of(np.repeat(wide[..., None], 3, 2)), None, "photograph"), *objects]


def cut_out(sample: Sample, wide: np.ndarray, objects: Sequence[BoxRegion]) -> dict[str, np.ndarray]:
    """Image, mask and twin (n, side, side) of the objects' boxes."""
    seen = {"image": grey(sample.image), "mask": sample.index.numpy() > 0, "twin": wide}
    return {
        name: np.stack([each.place.crop(torch.from_numpy(whole)).numpy() for each in objects])
        for name, whole in seen.items()
    }


def grey(image: torch.Tensor) -> np.ndarray:
    """(C, H, W) in [-1, 1] as (H, W) of 0..255."""
    return ((image.mean(0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def composer_of(way: Way, regions: Sequence[BoxRegion]) -> Composer:
    return Composer(
        regions, steps=way.steps, timesteps=way.timesteps, stepper=way.stepper, merge=HardMask(way.listening[1])
    )


def shared(way: Way, photograph: BoxRegion, objects: Sequence[BoxRegion], number: int) -> Mapping[str, Begun]:
    """The objects at the merge window, where the first of every `share` of them stands for all of these."""
    found = composer_of(way, [photograph, *objects[:: way.share]]).begin([number])
    return {each.name: found[objects[i - i % way.share].name] for i, each in enumerate(objects)}


# ---- measuring ------------------------------------------------------------------------------------------------


def specimens(
    images: Sequence[np.ndarray], masks: Sequence[np.ndarray], twins: Sequence[np.ndarray | None]
) -> list[Specimen]:
    """Those (n, side, side) that show an object."""
    return [
        Specimen(str(i), str(i), image.astype(np.float32), mask, None if twin is None else twin.astype(np.float32))
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


def again(values: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The distances of BOOTSTRAP runs of as many composites as these are."""
    random = np.random.default_rng(0)
    return {
        name: np.array([distance(name, random.choice(ours, len(ours)), theirs[name]) for _ in range(BOOTSTRAP)])
        for name, ours in values.items()
    }


def passing(held: Mapping[str, np.ndarray], usual: Limits) -> np.ndarray:
    """Which composites (n,) pass the checks of generated sets; the sides of a box lie within its scene."""
    least = GenerateConfig.model_fields["min_contrast"].default
    image, twin = (_padded(held[name])[:, None] / 127.5 - 1 if name in held else None for name in ("image", "twin"))
    index, boxes = _padded(held["mask"]).byte(), (Box(1, 1, SIDE, SIDE),)
    shots = (Shot(image[i], index[i], boxes, True, None if twin is None else twin[i]) for i in range(len(index)))
    return np.array([not flags_of(shot, 1, least, usual) for shot in shots])


def _padded(pictures: np.ndarray) -> torch.Tensor:
    """(n, SIDE, SIDE) with a pixel around each."""
    return torch.from_numpy(np.pad(pictures, ((0, 0), (1, 1), (1, 1))))


def row(
    way: Way, path: Path, real: Sequence[Specimen], theirs: Mapping[str, np.ndarray], usual: Limits | None
) -> dict[str, object] | None:
    """All figures of a way, or of what passes the checks by what is usual; None where no object is left."""
    held = dict(np.load(path))
    made, seconds = len(held["mask"]), float(held.pop("seconds"))
    if usual is not None:
        kept = passing(held, usual)
        held = {name: each[kept] for name, each in held.items()}
    found = specimens(held["image"], held["mask"], held.get("twin", [None] * len(held["mask"])))
    if not found:
        return None
    values = {name: each for name, each in measured(found).items() if len(each)}
    faint = float(np.quantile(np.abs(theirs["contrast"]), 0.05))
    runs, n = again(values, theirs), len(held["mask"])
    shares = 1 - len(found) / n, float((np.abs(values["contrast"]) < faint).mean())
    return {
        "name": way.name,
        "calls": round(way.calls * made / n),
        "composites": n,
        "passing": n / made,
        "seconds": seconds / n,
        "told apart": told_apart(found, real, True).value,
        "means": {name: float(each.mean()) for name, each in values.items()},
        "distances": {
            **{name: distance(name, each, theirs[name]) for name, each in values.items()},
            **dict(zip(SHARES, shares, strict=True)),
        },
        "spreads": {
            **{name: float(each.std()) for name, each in runs.items()},
            **{name: max(p * (1 - p) / n, 1 / n**2) ** 0.5 for name, p in zip(SHARES, shares, strict=True)},
        },
        "by chance": by_chance(runs),
        "alike": alike(held["mask"], way.share) if way.share > 1 else None,
    }


def by_chance(runs: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Of one run held against another one of the same way, how many spreads its worst distance is larger.

    Returns:
        How often that is more than two, and what one of twenty exceeds.
    """
    one, other = slice(0, BOOTSTRAP // 2), slice(BOOTSTRAP // 2, None)
    worst = np.max([(each[one] - each[other]) / each.std() for each in runs.values() if each.std()], 0)
    return float((worst > 2).mean()), float(np.quantile(worst, 0.95))


def alike(masks: np.ndarray, share: int) -> tuple[float, float]:
    """How far masks (n, SIDE, SIDE) overlap in the mean, of one shared state and of two; intersection over union."""
    pairs = [(i, j) for i, j in combinations(range(len(masks)), 2) if masks[i].any() and masks[j].any()]
    overlaps = np.array([(masks[i] & masks[j]).sum() / (masks[i] | masks[j]).sum() for i, j in pairs])
    same = np.array([i // share == j // share for i, j in pairs])
    return float(overlaps[same].mean()), float(overlaps[~same].mean())


def yardstick_of(rows: Sequence[dict[str, object]]) -> dict[str, object]:
    """The way of most calls."""
    return max(rows, key=lambda each: int(each["calls"]))  # type: ignore[call-overload]


def judged(found: dict[str, object], yardstick: dict[str, object]) -> dict[str, float]:
    """The figures that are further from real ones than the yardstick's by more than two spreads, and by how many."""
    ours, base, spreads = found["distances"], yardstick["distances"], yardstick["spreads"]
    more = {name: (value - base[name]) / max(spreads[name], LEAST) for name, value in ours.items()}  # type: ignore
    return {name: value for name, value in more.items() if value > 2}


def report(out: Path, real: Sequence[Specimen], usual: Limits | None) -> None:
    """Print the table, and write it with the curve."""
    theirs = measured([*real])
    there = [way for way in WAYS if (out / f"{way.name}.npz").exists()]
    found = {way.name: row(way, out / f"{way.name}.npz", real, theirs, usual) for way in there}
    rows = [each for each in found.values() if each is not None]
    if without := [name for name, each in found.items() if each is None]:
        print(f"Left out, since no object is left to measure: {', '.join(without)}.")
    if not rows:
        return
    print("| way | calls | n | passing | s | unseen | erased | told apart | " + " | ".join(JUDGED) + " | worse |")
    print("|---" * (len(JUDGED) + 9) + "|")
    real_means = " | ".join(f"{theirs[name].mean():.3g}" if len(theirs[name]) else "" for name in JUDGED)
    print(f"| real | | {len(real)} | | | | 0.05 | | {real_means} | |")
    for each in rows:
        kind = str(each["name"]).split()[0]
        yardstick = yardstick_of([other for other in rows if str(other["name"]).startswith(kind)])
        each["worse"] = judged(each, yardstick)
        print(line(each))
        if each is yardstick:
            held = each["spreads"]
            spreads = " | ".join(f"({held[name]:.2f})" if name in held else "" for name in JUDGED)  # type: ignore
            often, most = each["by chance"]  # type: ignore[misc]
            chance = f"a run of the same fails in {often:.0%}, and by more than {most:.1f} in 5%"  # type: ignore[has-type]
            print(f"| its spread | | | | | | | | {spreads} | {chance} |")
    for each in rows:
        if each["alike"]:
            print("{}: masks of one state overlap by {:.2f}, of two by {:.2f}".format(each["name"], *each["alike"]))  # type: ignore[misc]
    write_atomically(out / "quality.json", json.dumps(rows, indent=1).encode())
    print(write_png(out / "curve.png", curve(rows, SHOWN if usual is None else SHOWN_CHECKED)))
    if (picture := side_by_side(out)) is not None:
        print(write_png(out / "side-by-side.png", picture))


def line(each: dict[str, object]) -> str:
    means, distances = each["means"], each["distances"]
    cells = [f"{means[name]:.3g} ({distances[name]:.2f})" if name in means else "" for name in JUDGED]  # type: ignore
    start = [*map(str, (each["name"], each["calls"], each["composites"]))]
    start += [f"{each['passing']:.2f}", f"{each['seconds']:.2f}"]
    shares = [*(f"{distances[name]:.2f}" for name in SHARES), f"{each['told apart']:.2f}"]  # type: ignore[index]
    worse = [f"{name} {value:.1f}" for name, value in each["worse"].items()]  # type: ignore[attr-defined]
    return f"| {' | '.join([*start, *shares, *cells, ', '.join(worse) or 'none'])} |"


# ---- the pictures ----------------------------------------------------------------------------------------------

PANEL, EDGE = (300, 190), 34
COLOURS = {
    "ancestral": (31, 90, 180),
    "ddim": (200, 90, 20),
    "dpm": (30, 140, 60),
    "shared": (130, 60, 160),
    "distilled": (200, 30, 60),
}
BESIDE_NAMES = "early 250", "early 50", "early 20 ddim", "late 250", "late 30+45", "late 10+15 dpm"
BESIDE = [way for way in WAYS if way.name in BESIDE_NAMES]
COLUMNS = 10
SHOWN = ("contrast", "area", "pieces", "unseen", "edge", "grain")
SHOWN_CHECKED = ("contrast", "area", "visible share", "edge", "grain", "spectrum")  # all have one piece, none is unseen


def curve(rows: Sequence[dict[str, object]], shown: Sequence[str]) -> Image.Image:
    """For both kinds, distances of six figures from real ones over calls; the band is the yardstick's +- 2 spreads."""
    kinds = [*dict.fromkeys(str(each["name"]).split()[0] for each in rows)]
    whole = Image.new("RGB", (PANEL[0] * len(shown), PANEL[1] * len(kinds) + EDGE), "white")
    for i, kind in enumerate(kinds):
        mine = [each for each in rows if str(each["name"]).startswith(kind)]
        for j, name in enumerate(shown):
            whole.paste(panel(mine, name, f"{kind}: {name}"), (j * PANEL[0], i * PANEL[1]))
    draw, y = ImageDraw.Draw(whole), whole.height - EDGE // 2
    for i, (name, colour) in enumerate(COLOURS.items()):
        dot(draw, EDGE + i * 110, y, colour)
        draw.text((EDGE + i * 110 + 8, y - 6), name, fill="black")
    note = "distance from real ones, in standard deviations, over network calls; grey: the most calls +- 2 spreads"
    draw.text((EDGE + len(COLOURS) * 110 + 20, y - 6), note, fill="black")
    return whole


def side_by_side(out: Path) -> Image.Image | None:
    """Boxes of the same scenes by some ways, a row for each, below the photographs; None where there are none."""
    held = {way: np.load(path) for way in BESIDE if (path := out / f"{way.name}.npz").exists()}
    if not held:
        return None
    rows = {"the photographs": next(iter(held.values()))["twin"]}
    rows |= {f"{way.name}: {way.calls} calls": each["image"] for way, each in held.items()}
    tiles = [enlarge(Image.fromarray(image), 128) for images in rows.values() for image in images[:COLUMNS]]
    return contact_sheet(tiles, COLUMNS, titles=[*rows])


def dot(draw: ImageDraw.ImageDraw, x: float, y: float, colour: tuple[int, int, int]) -> None:
    draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)


def panel(rows: Sequence[dict[str, object]], name: str, title: str) -> Image.Image:
    """One figure's distance from real ones over calls, on a logarithmic axis from 10 to 400; empty where undefined."""
    picture = Image.new("RGB", PANEL, "white")
    draw = ImageDraw.Draw(picture)
    if name not in rows[0]["distances"]:  # type: ignore[operator]
        return picture
    distances = [each["distances"][name] for each in rows]  # type: ignore[index]
    first = yardstick_of(rows)
    base, wide = first["distances"][name], 2 * first["spreads"][name]  # type: ignore[index]
    top = max(*distances, base + wide) * 1.1
    across = PANEL[0] - EDGE - 8

    def x(calls: float) -> float:
        return EDGE + across * np.log(calls / 10) / np.log(40)

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
        dot(draw, x(float(each["calls"])), y(value), colour)  # type: ignore[arg-type]
    return picture


if __name__ == "__main__":
    with torch.inference_mode():
        main()
