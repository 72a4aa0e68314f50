"""What a folder of pictures holds, before anything is learned from it."""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dmix_core.errors import ImageError
from dmix_core.geometry import Box
from dmix_core.image_files import FORMATS, is_turned

from .arrays import Pixels, Size
from .exceptions import DataError
from .filters import Figure, figure_of
from .layouts import Listing, Match, Record, find, listing
from .loader import Picture, picture_of, with_mask
from .mask_rules import parse
from .masks import Alpha, MaskFile, apply_rule
from .memory import digest_of
from .objects import box_of, objects_of, why_none
from .options import OBJECTS, DataOptions
from .splitting import falling_apart

MODEL_SIDES = (16, 32, 64, 128, 256)
CONTEXT = 1.25
"""A crop's side over its object's, at least: with less the model would not see where objects end."""
OTHER_RULES = ("nonzero", "threshold:127", "index:255")
TOLERANCE = 0.02
"""By how much a mask's area may depend on the rule before that is worth a warning."""
SAMPLES = 16
"""Objects of each class to look at, no two of one group."""
FEW = 20
FITTING = 0.8
"""The share of objects that an advised model holds."""
CLASSES_ADVISED = 4
OPTIONS = DataOptions()
"""Objects are told apart as training does by default."""
ALIKE = 3.0
"""Grey levels by which neighbours in a group differ in the mean, at a few pixels, where they are nearly the same."""
OCCLUSION = 0.2
"""The share of an outline that other objects touch from which an object counts as occluded."""
SPLIT = 2
"""How deep masks are eroded to see whether they fall apart, in pixels."""
OFTEN = 0.1
"""The share of objects from which a filter is advised."""
MOSTLY_NARROW = 0.25
"""The same for splitting, since many single objects have a narrow place too."""
THINNING = 10
"""Of groups of such pictures, every so many-th one is advised."""


@dataclass
class OfClass:
    """What is known of the objects of one class; areas are in pixels."""

    pictures: int = 0
    sides: list[int] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """Objects that the options leave out, by the reason; they count nowhere else."""
    narrow: int = 0
    """Objects that fall apart where they are narrow, and so may be several."""
    too_large: int = 0
    """Objects that do not fit into their picture with some context around them."""
    area: int = 0
    areas: Counter[str] = field(default_factory=Counter)
    """Under other rules."""
    values: Counter[int] = field(default_factory=Counter)
    """How many pixels of its masks have a value."""
    sampled: set[str] = field(default_factory=set)
    """The groups of which an object is among the samples."""

    def record(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"pictures": self.pictures, "objects": len(self.sides)}
        if self.sides:
            names = ("smallest", "p10", "median", "p90", "largest")
            sides = np.percentile(self.sides, (0, 10, 50, 90, 100)).round().astype(int).tolist()
            facts["longer_side"] = dict(zip(names, sides, strict=True))
            facts["share_that_fits"] = {str(side): round(self.fitting(side), 3) for side in MODEL_SIDES}
            facts["too_large_for_their_pictures"] = self.too_large
            aspects = np.percentile([each.aspect for each in self.figures], (0, 50, 100)).round(2).tolist()
            facts["aspect"] = dict(zip(("smallest", "median", "largest"), aspects, strict=True))
            facts["truncated"], facts["occluded"], facts["narrow"] = self.truncated, self.occluded, self.narrow
        if self.left_out:
            facts["left_out"] = dict(self.left_out)
        if self.values:
            facts["mask_values"] = histogram(self.values)
            facts["area_under_other_rules"] = {rule: round(change, 4) for rule, change in self.changes().items()}
        return facts

    @property
    def truncated(self) -> int:
        """Objects that touch the border of their picture."""
        return sum(each.truncated for each in self.figures)

    @property
    def occluded(self) -> int:
        """Objects that others touch along more of their outline than `OCCLUSION`."""
        return sum(each.occlusion > OCCLUSION for each in self.figures)

    def fitting(self, side: int) -> float:
        """The share of objects that fit a square model of this side."""
        return float(np.mean([CONTEXT * each <= side for each in self.sides])) if self.sides else 0.0

    @property
    def whole_pictures(self) -> bool:
        """Whether most objects are as large as their pictures."""
        return self.too_large > len(self.sides) / 2

    def changes(self) -> dict[str, float]:
        """By which share of it the area would change under another rule."""
        return {rule: area / self.area - 1 for rule, area in self.areas.items()} if self.area else {}


class Sample(NamedTuple):
    """An object with its surroundings, to look at."""

    class_name: str
    pixels: Pixels
    mask: Pixels
    side: int


@dataclass
class Inspection:
    """What a folder holds; `record` has it as plain values."""

    folder: Path
    match: Match
    listing: Listing
    options: DataOptions = OPTIONS
    """Which parts of the masks are objects."""
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    turned: int = 0
    """Pictures with masks that EXIF turns or mirrors."""
    classes: defaultdict[str, OfClass] = field(default_factory=lambda: defaultdict(OfClass))
    broken: list[tuple[Path, str]] = field(default_factory=list)
    small: list[tuple[Path, str]] = field(default_factory=list)
    """Pictures whose objects are all smaller than training takes."""
    same: defaultdict[bytes, list[Record]] = field(default_factory=lambda: defaultdict(list))
    samples: list[Sample] = field(default_factory=list)
    before: dict[str, Pixels] = field(default_factory=dict)
    """Of each group, the last picture at a few pixels."""
    differences: list[float] = field(default_factory=list)
    """Of each picture from the one before in its group, in grey levels."""

    def record(self) -> dict[str, Any]:
        records = self.listing.records
        return {
            "folder": str(self.folder),
            "layout": self.match.layout.name,
            "known_from": self.match.layout.title,
            "evidence": self.match.evidence,
            "mask_rule": self.match.layout.rule,
            "pictures": len(records),
            "with_mask": sum(record.mask is not None for record in records),
            "normal": sum(record.normal for record in records),
            "groups": len({record.group_name for record in records}),
            "parts": dict(Counter(record.split or "undivided" for record in records)),
            "sizes": {f"{w}x{h}": count for (h, w), count in self.sizes.most_common()},
            "modes": dict(self.modes),
            "classes": {name: of.record() for name, of in sorted(self.classes.items())},
            "problems": [{"file": str(path), "why": why} for path, why in self.problems()],
            "duplicates": [[self._short(record.image) for record in each] for each in self.duplicates()],
            "warnings": self.warnings(),
            "next": self.advice(),
        }

    def problems(self) -> list[tuple[Path, str]]:
        listing = self.listing
        without = [(path, "a picture of an object without a mask") for path in listing.maskless]
        without += [(path, "a mask without a picture") for path in listing.orphans]
        without += [(path, "listed, but not there") for path in listing.missing]
        return [*self.broken, *self.small, *without]

    def duplicates(self) -> list[list[Record]]:
        """Pictures with the same pixels."""
        return [records for records in self.same.values() if len(records) > 1]

    @property
    def alike(self) -> bool:
        """Whether most pictures are nearly the same as the one before in their group, as frames of a clip are."""
        return len(self.differences) >= FEW and float(np.median(self.differences)) < ALIKE

    def warnings(self) -> list[str]:
        found = [_about_rules(name, of, self.match.layout.rule) for name, of in sorted(self.classes.items())]
        leaks = [each for each in self.duplicates() if len({record.split for record in each}) > 1]
        if leaks:
            found.append(
                f"{len(leaks)} pictures are in several parts of the data set, such as "
                f"{' = '.join(self._short(record.image) for record in leaks[0])}."
            )
        divided = self._divided_groups()
        if divided:
            found.append(
                f"{len(divided)} groups of pictures of one thing are in several parts of the data set, such as "
                f"{divided[0]!r}."
            )
        if self.alike:
            found.append(
                f"Pictures of one group follow each other that are nearly the same: --every {THINNING} takes one of "
                f"{THINNING}."
            )
        if self.turned:
            found.append(f"{self.turned} pictures with masks are turned by EXIF; see whether their masks were, too.")
        for name, of in sorted(self.classes.items()):
            if of.pictures < 2:
                found.append(f"{name}: a single picture; two are the least to learn from.")
            elif of.pictures < FEW:
                found.append(f"{name}: only {of.pictures} pictures; samples may come out as copies of them.")
            if of.whole_pictures:
                found.append(
                    f"{name}: {of.too_large} of {len(of.sides)} objects are as large as their pictures; "
                    "a model of objects in boxes does not suit them."
                )
            found += self._about_objects(name, of)
        return [each for each in found if each]

    def _about_objects(self, name: str, of: OfClass) -> list[str]:
        """Which filters would leave out what."""
        count, options = len(of.sides), self.options
        narrow = 0 if options.split_touching else of.narrow
        side = _model_side(of)
        large = 0 if options.large_objects == "parts" else count - round(count * of.fitting(side))
        advised = [
            (
                large,
                OFTEN,
                f"are too large for crops of {side}x{side}: --large-objects parts learns from parts of them",
            ),
            (of.truncated, OFTEN, "touch the border of their picture: --skip-truncated leaves them out"),
            (of.occluded, OFTEN, f"have others at their outline: --max-occlusion {OCCLUSION} leaves them out"),
            (narrow, MOSTLY_NARROW, f"have a narrow place, where several may touch: try --split-touching {SPLIT}"),
        ]
        return [f"{name}: {some} of {count} objects {what}." for some, share, what in advised if some > share * count]

    def advice(self) -> list[str]:
        """What to run next."""
        if not self.sizes:
            return []
        skip = " --on-error skip" if len(self.problems()) > len(self.small) else ""
        thin = f" --every {THINNING}" if self.alike else ""
        chosen = _as_words(self.options)
        crops = self.match.layout.rule == Alpha.rule
        commands = [] if crops else [self._background() + thin + skip]
        boxed = {name: of for name, of in sorted(self.classes.items()) if of.sides and not of.whole_pictures}
        parts = {record.split or "train" for record in self.listing.records if record.mask}
        if crops or (len(boxed) == 1 and "train" in parts):
            first = list(boxed.values())[:1]
            return [*commands, *(f"{_train(self.folder, 'object', of)}{thin}{chosen}{skip}" for of in first)]
        for name, of in list(boxed.items())[:CLASSES_ADVISED]:
            side, short = _model_side(of), re.sub(r"[^\w.-]+", "-", name)
            hold_out = "" if "train" in parts else " --hold-out 0.5"
            only = f" --class {shlex.quote(name)}" if len(boxed) > 1 else ""
            cut = f"dmix data crops {shlex.quote(str(self.folder))} -o {short}-crops{only} --size {side}x{side}"
            commands += [
                f"{cut}{hold_out}{thin}{chosen}{skip}",
                _train(Path(f"{short}-crops"), short, of, scaled=False),
            ]
        return commands

    def _divided_groups(self) -> list[str]:
        parts: defaultdict[str, set[str | None]] = defaultdict(set)
        for record in self.listing.records:
            parts[record.group_name].add(record.split)
        return [group for group, splits in parts.items() if len(splits) > 1]

    def _background(self) -> str:
        shortest = min(min(size) for size in self.sizes)
        side = max((side for side in (32, 64) if side <= shortest), default=16)
        return f"dmix train background {shlex.quote(str(self.folder))} -o background --size {side}x{side} --steps 20000"

    def _short(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def inspect(
    folder: str | Path,
    layout: str | None = None,
    seen: Callable[[], object] = lambda: None,
    options: DataOptions = OPTIONS,
) -> Inspection:
    """Look at every picture and mask of a folder.

    Args:
        layout: how the folder is laid out; by default that is found out.
        seen: called after each picture.
        options: of these the fields `OBJECTS` count; training has the same defaults.

    Raises:
        DataError: no such folder, no pictures in it, or several layouts that it may have.
    """
    match = find(folder, layout)
    inspection = Inspection(Path(folder), match, listing(match.layout, folder), options)
    for record in inspection.listing.records:
        try:
            _look(record, inspection)
        except (DataError, ImageError) as error:
            inspection.broken.append((record.image, str(error)))
        seen()
    return inspection


def _look(record: Record, inspection: Inspection) -> None:
    picture = picture_of(record)
    inspection.sizes[picture.size] += 1
    with Image.open(record.image, formats=FORMATS) as file:
        inspection.modes[file.mode] += 1
    inspection.turned += record.mask is not None and is_turned(record.image)
    inspection.same[digest_of(picture.pixels)].append(record)
    if record.group is not None:
        _compare(picture, record.group, inspection)
    for masked in with_mask(picture, record):
        _look_at_objects(masked, record, inspection)


def _compare(picture: Picture, group: str, inspection: Inspection) -> None:
    small = np.asarray(Image.fromarray(picture.pixels.squeeze()).convert("L").resize((16, 16), Image.Resampling.BOX))
    before = inspection.before.get(group)
    if before is not None:
        inspection.differences.append(float(np.abs(small.astype(int) - before).mean()))
    inspection.before[group] = small


def _look_at_objects(picture: Picture, record: Record, inspection: Inspection) -> None:
    mask = picture.mask
    name = picture.class_name or "object"
    of = inspection.classes[name]
    of.pictures += 1
    if mask is None or not mask.any():
        inspection.broken.append((record.image, "the mask shows no object"))
        return
    if isinstance(record.mask, MaskFile):
        _look_at_values(record.mask, of)
    objects = objects_of(picture, inspection.options)
    of.left_out.update(objects.left_out)
    if not objects.numbers:
        inspection.small.append((record.image, why_none(objects, inspection.options)))
    if picture.objects is None:
        of.narrow += falling_apart(mask > 127, SPLIT)
    for number in objects.numbers:
        box = box_of(objects.labels == number)
        _measure(of, figure_of(objects.labels, number, box), box, picture.size)
        if len(of.sampled) < SAMPLES and record.group_name not in of.sampled:
            of.sampled.add(record.group_name)
            inspection.samples.append(_sample(picture, objects.mask, box, name))


def _measure(of: OfClass, figure: Figure, box: Box, size: Size) -> None:
    side = max(box.width, box.height)
    of.sides.append(side)
    of.figures.append(figure)
    of.too_large += CONTEXT * side > min(size)


def _look_at_values(source: MaskFile, of: OfClass) -> None:
    values = source.values()
    kind = parse(source.rule).kind
    of.values.update(dict(zip(*(column.tolist() for column in np.unique(values, return_counts=True)), strict=True)))
    if kind in ("threshold", "nonzero"):
        of.area += int(apply_rule(values, source.rule).sum())
        for rule in OTHER_RULES:
            if rule != source.rule:
                of.areas[rule] += int(apply_rule(values, rule).sum())


def _sample(picture: Picture, mask: Pixels, box: Box, name: str) -> Sample:
    side = max(32, round(1.5 * max(box.width, box.height)))
    (height, width), h, w = picture.size, min(side, picture.size[0]), min(side, picture.size[1])
    y = min(max(0, box.y + box.height // 2 - h // 2), height - h)
    x = min(max(0, box.x + box.width // 2 - w // 2), width - w)
    window = np.s_[y : y + h, x : x + w]
    return Sample(name, picture.pixels[window], mask[window], max(box.width, box.height))


def histogram(values: Counter[int]) -> dict[str, int]:
    """How many pixels have which value; in bins, where there are many values."""
    if len(values) <= 12:
        return {str(value): count for value, count in sorted(values.items())}
    edges = [(0, 0), (1, 127), (128, 254), (255, 255), (256, 65535)]
    counts = {(low, high): sum(n for value, n in values.items() if low <= value <= high) for low, high in edges}
    return {f"{low}..{high}" if low < high else str(low): count for (low, high), count in counts.items() if count}


def _about_rules(name: str, of: OfClass, rule: str) -> str:
    changes = {other: change for other, change in of.changes().items() if abs(change) > TOLERANCE}
    areas = ", ".join(f"{change:+.0%} under {other}" for other, change in changes.items())
    return f"{name}: the area of the masks depends on their rule: {areas}. {rule!r} is what is used." if areas else ""


def _as_words(options: DataOptions) -> str:
    """The fields `OBJECTS` that were set, as options of commands."""
    given = options.model_dump(include={*OBJECTS}, exclude_defaults=True)
    words = ((f"--{name.replace('_', '-')}", "" if value is True else f" {value}") for name, value in given.items())
    return "".join(f" {name}{value}" for name, value in words)


def _train(folder: Path, out: str, of: OfClass, scaled: bool = True) -> str:
    """The command that trains a model of a class; a data set whose objects are too large for usual models is shrunk."""
    side = _model_side(of)
    scale = side / (CONTEXT * float(np.percentile(of.sides, 100 * FITTING)))
    smaller = f" --scale {scale:.2f}" if scaled and scale < 1 else ""
    return f"dmix train object {shlex.quote(str(folder))} -o {out} --size {side}x{side}{smaller} --steps 20000"


def _model_side(of: OfClass) -> int:
    """The smallest model that most objects fit; 128 if none is large enough."""
    return next((side for side in (32, 64, 128) if of.fitting(side) >= FITTING), 128)
