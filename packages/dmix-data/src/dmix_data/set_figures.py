"""What a generated set holds, counted from its manifest alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from .generated_set import SampleEntry


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
        figures = cls()
        for sample in samples:
            figures.add(sample)
        return figures

    def add(self, sample: SampleEntry) -> None:
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
            self.objects[each.class_name] += 1
            self.areas[each.class_name].append(each.area)
            if each.contrast is not None:
                self.contrasts[each.class_name].append(each.contrast)


def flags_of(sample: SampleEntry) -> set[str]:
    """What the checks found of a sample and of its objects."""
    return {*sample.flags, *(flag for each in sample.objects for flag in each.flags)}
