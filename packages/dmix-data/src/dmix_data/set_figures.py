"""What a generated set holds, counted from its manifest alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from dmix_core.geometry import Box
from dmix_core.sample import figures

from .generated_set import SampleEntry
from .objects import box_of, objects_of
from .options import DataOptions
from .readers import read_pairs


@dataclass
class SetFigures:
    """Counts of a set, of which each sample adds to.

    Attributes:
        kinds, splits, sizes: samples by kind, by part and by "WIDTHxHEIGHT".
        objects, pictures: by class, the objects that show and the samples that show some.
        per_sample: samples by how many objects show.
        flags: samples and objects by what the checks found.
        groups: the groups that must not be divided.
        backgrounds: samples by their background.
        areas, contrasts: by class, of each object that shows: its pixels, and its contrast where that is known.
    """

    samples: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    pictures: Counter[str] = field(default_factory=Counter)
    per_sample: Counter[int] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    groups: set[str] = field(default_factory=set)
    backgrounds: Counter[str] = field(default_factory=Counter)
    areas: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    contrasts: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, samples: Iterable[SampleEntry]) -> "SetFigures":
        """The figures of all samples together."""
        found = cls()
        for sample in samples:
            found.add(sample)
        return found

    def add(self, sample: SampleEntry) -> None:
        """Add a sample with its objects."""
        shown = [each for each in sample.objects if each.area]
        self.samples += 1
        self.kinds[sample.kind] += 1
        self.splits[sample.split] += 1
        self.sizes[f"{sample.width}x{sample.height}"] += 1
        self.groups.add(sample.group)
        self.backgrounds[sample.background or "unknown"] += 1
        self.per_sample[len(shown)] += 1
        self.pictures.update({each.class_name for each in shown})
        self.flags.update(flags_of(sample))
        for each in shown:
            self.count(each.class_name, each.area, each.contrast)

    def count(self, class_name: str, area: int, contrast: float | None) -> None:
        """Add an object."""
        self.objects[class_name] += 1
        self.areas[class_name].append(area)
        if contrast is not None:
            self.contrasts[class_name].append(contrast)


def flags_of(sample: SampleEntry) -> set[str]:
    """What the checks found of a sample and of its objects."""
    return {*sample.flags, *(flag for each in sample.objects for flag in each.flags)}


def real_figures(folder: str | Path) -> SetFigures:
    """The areas and contrasts of real objects, measured as those of a set; of all parts of a folder in any layout.

    Raises:
        DataError, ImageError: as for `read_pairs`.
    """
    options, found = DataOptions(split="all", skip_empty=True), SetFigures()
    for picture in read_pairs(folder, options):
        objects = objects_of(picture, options)
        image = torch.from_numpy(picture.pixels / 127.5 - 1).permute(2, 0, 1).float()
        whole = Box(0, 0, image.shape[2], image.shape[1])
        for number in objects.numbers:
            shown = objects.labels == number
            seen = figures(image, whole, torch.from_numpy(shown), box_of(shown))
            found.count(picture.class_name or "object", int(shown.sum()), seen.contrast)
    return found
