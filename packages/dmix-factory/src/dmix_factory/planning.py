"""The plan: what each sample of a set shows, one record after another, without any model.

A record depends on the config, the sources and its number alone, so that any part of a plan can be made anywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dmix_core.geometry import Box
from dmix_data.options import Split

from .generate_config import GenerateConfig
from .placement import Placement
from .plan_draws import Draws
from .sources import Background, Sources

GOLDEN = 0.6180339887498949
"""Its multiples, less their whole parts, fill 0..1 evenly however many of them are taken (Weyl 1916)."""


@dataclass(frozen=True)
class PlannedObject:
    """An object: the number of its model among the config's objects, and its box."""

    choice: int
    box: Box


@dataclass(frozen=True)
class PlanRecord:
    """What one sample shows.

    Attributes:
        number: its place in the plan, from 0.
        seed: of all of its noise.
        background: what it lies on.
        group: what it shares with others, so that a split does not divide them.
        objects: from bottom to top.
    """

    number: int
    seed: int
    background: Background
    group: str
    split: Split
    objects: tuple[PlannedObject, ...]


def plan(
    config: GenerateConfig, sources: Sources, numbers: range | None = None, attempt: int = 0
) -> Iterator[PlanRecord]:
    """The records of a set, one at a time.

    Args:
        numbers: which of them; None: all.
        attempt: draws boxes and noise anew for each number, while backgrounds and split stay.

    Raises:
        GeometryError: boxes cannot be placed, and which rule forbids it.
    """
    order = Draws(config.seed, "backgrounds").shuffled(range(len(sources.backgrounds)))
    sides = splits_of(len(order), config.val, config.test) if sources.real else None
    placement = Placement(config.min_distance, config.max_overlap, sources.roi)
    for number in range(config.n) if numbers is None else numbers:
        draws = Draws(config.seed, number, "sample", attempt)
        place = number % len(order)
        background = sources.backgrounds[order[place]]
        yield PlanRecord(
            number,
            draws.seed(),
            background,
            background.name if sources.real else str(number),
            sides[place] if sides else split_of(number, config.val, config.test),
            _objects(config, sources, background, placement, draws),
        )


def split_of(group: int, val: float, test: float) -> Split:
    """The side of a group by its number: of any first groups about these shares are for validation and testing."""
    point = (group + 1) * GOLDEN % 1
    if point < val:
        return "val"
    return "test" if point < val + test else "train"


def splits_of(groups: int, val: float, test: float) -> list[Split]:
    """The sides of so many groups: the shares are kept to within one group, and each that is not 0 has one at least."""
    order = sorted(range(groups), key=lambda group: (group + 1) * GOLDEN % 1)
    held = [max(1, round(share * groups)) if share else 0 for share in (val, test)]
    sides: list[Split] = ["train"] * groups
    for place, group in enumerate(order[: sum(held)]):
        sides[group] = "val" if place < held[0] else "test"
    return sides


def _objects(
    config: GenerateConfig, sources: Sources, background: Background, placement: Placement, draws: Draws
) -> tuple[PlannedObject, ...]:
    fewest, most = config.per_image
    weights = [each.weight for each in config.objects]
    choices = [draws.weighted(weights) for _ in range(fewest + draws.below(most - fewest + 1))]
    where = f"the background {background.name!r}"
    boxes = placement.boxes([sources.sizes[i] for i in choices], background.size, draws, where)
    return tuple(map(PlannedObject, choices, boxes))
