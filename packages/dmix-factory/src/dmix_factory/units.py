"""What a record of the plan becomes in the set: a composite, and its twin and near-miss where these are wanted."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from dmix_core.images import index_picture, png_bytes, to_picture
from dmix_data.generated_set import Kind, ObjectEntry, RejectedEntry, SampleEntry
from dmix_data.provenance import Stamped, stamped

from .generate_config import GenerateConfig, class_of
from .planning import PlanRecord
from .shots import Shot

LIMIT = "tries-exhausted"
"""The flag of a sample that was kept although each of its draws was rejected."""


@dataclass(frozen=True, eq=False)
class Take:
    """One composition of a record.

    Attributes:
        attempt: which one, from 0.
        recipe: the digest of its recipe.
        flags: of each object.
        near_miss: (C, H, W), the picture with faint objects; None where none is wanted.
    """

    record: PlanRecord
    attempt: int
    recipe: str
    shot: Shot
    strength: float
    flags: tuple[tuple[str, ...], ...]
    near_miss: Tensor | None = field(default=None, repr=False)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What the checks found in any object, each once."""
        return tuple(dict.fromkeys(flag for flags in self.flags for flag in flags))

    @property
    def rank(self) -> tuple[int, float]:
        """The better of two takes has the smaller rank: fewer flags, then more contrast of its faintest object."""
        contrasts = [self.shot.figures(value).contrast or 0.0 for value in range(1, len(self.flags) + 1)]
        return sum(map(len, self.flags)), -min(contrasts)


@dataclass(frozen=True)
class Unit:
    """The samples that are committed together, what was turned down for them, and the content of their files."""

    entries: tuple[SampleEntry, ...]
    rejected: tuple[RejectedEntry, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict, repr=False)

    def without_files(self) -> "Unit":
        """The same once its files are written."""
        return replace(self, files={})


def unit_of(config: GenerateConfig, real: bool, takes: Sequence[Take]) -> Unit:
    """The unit of a record that was composed so many times: the best take is kept.

    Args:
        real: whether backgrounds are photographs.
    """
    best = min(takes, key=lambda take: take.rank)
    writer = _Writer(config, real, best)
    entries = tuple(writer.entries(exhausted=config.reject and bool(best.reasons)))
    turned_down = (take for take in takes if take is not best)
    rejected = (
        RejectedEntry(number=entries[0].number, attempt=take.attempt, reasons=take.reasons or ("not the best",))
        for take in turned_down
    )
    return Unit(entries, tuple(rejected), writer.files)


class _Writer:
    """The entries of a take; `files` grows with them."""

    def __init__(self, config: GenerateConfig, real: bool, take: Take) -> None:
        self.config, self.real, self.take = config, real, take
        self.files: dict[str, bytes] = {}
        self.number = take.record.number * config.per_record

    def entries(self, exhausted: bool) -> Iterator[SampleEntry]:
        shot = self.take.shot
        twin = self._name("images", self.number + 1) if self.config.twins else None
        objects = tuple(self._object(value) for value in range(1, len(shot.boxes) + 1))
        flags = (*self.take.reasons, *([LIMIT] if exhausted else ()))
        first = self._entry(0, "composite", shot.image, shot.index)
        yield first.model_copy(
            update={"objects": objects, "twin": twin, "flags": flags, "strength": self.take.strength}
        )
        empty = shot.index.new_zeros(shot.index.shape)
        if self.config.twins:
            assert shot.twin is not None
            yield self._entry(1, "twin", shot.twin, empty)
        if self.take.near_miss is not None:
            yield self._entry(1 + self.config.twins, "near-miss", self.take.near_miss, empty)

    def _entry(self, place: int, kind: Kind, image: Tensor, index: Tensor) -> SampleEntry:
        record, number = self.take.record, self.number + place
        picture = self._picture(image, number, untouched=self.real and kind == "twin")
        names = self._name("images", number), self._name("masks", number)
        content = dict(zip(names, (picture.content, png_bytes(index_picture(index))), strict=True))
        self.files |= content
        return SampleEntry(
            number=number,
            image=names[0],
            mask=names[1],
            width=index.shape[1],
            height=index.shape[0],
            kind=kind,
            background=record.background.name,
            group=record.group,
            split=record.split,
            seed=record.seed,
            recipe=self.take.recipe,
            states=record.states,
            sha256={path: hashlib.sha256(data).hexdigest() for path, data in content.items()},
            phash=picture.phash,
            centre=picture.centre,
        )

    def _picture(self, image: Tensor, number: int, untouched: bool) -> Stamped:
        """The picture's file; a photograph without any object is not marked as generated."""
        take, grey = self.take, self.take.shot.grey
        if untouched:
            return Stamped(png_bytes(to_picture(image, grey=grey)))
        recipe = {"recipe": take.recipe, "seed": take.record.seed, "number": number}
        return stamped(image, recipe, real=self.real, grey=grey)

    def _object(self, value: int) -> ObjectEntry:
        shot = self.take.shot
        planned = self.take.record.objects[value - 1]
        choice, box = self.config.objects[planned.choice], shot.visible_box(value)
        return ObjectEntry(
            class_name=class_of(choice),
            value=value,
            box=None if box is None else tuple(box),
            area=int(shot.shown(value).sum()),
            asked=tuple(planned.box),
            model=choice.model,
            flags=(*self.take.flags[value - 1], *shot.cleaned[value - 1]),
            signed_contrast=shot.contrast(value),
            **shot.figures(value)._asdict(),
        )

    def _name(self, folder: str, number: int) -> str:
        return f"{folder}/{number:06d}.png"
