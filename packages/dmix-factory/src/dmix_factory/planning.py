"""The plan: what each sample of a set shows, one record after another, without any model.

A record depends on the config, the sources and its number alone, so that any part of a plan can be made anywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dmix_core.geometry import Box, Size
from dmix_data.options import Split

from .generate_config import GenerateConfig
from .measured import RealObject
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
        states: with shared states the names of its background's and its objects', from which their noise derives.
        block: which samples share states with it.
    """

    number: int
    seed: int
    background: Background
    group: str
    split: Split
    objects: tuple[PlannedObject, ...]
    states: tuple[str, ...] = ()
    block: int = 0


class Seat(NamedTuple):
    """Where a number stands: its block, and in this its row and column, by which it shares states.

    Attributes:
        group: the number of its group, whose samples stand on one side.
        place: of its background, in the order in which these are used.
    """

    block: int
    row: int
    column: int
    group: int
    place: int


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
    sides = splits_of(groups_of(config, len(order)), config.val, config.test) if sources.real else None
    placement = Placement(config.min_distance, config.max_overlap, sources.roi)
    for number in range(config.n) if numbers is None else numbers:
        seat = seat_of(config, number, len(order) if sources.real else None)
        draws = Draws(config.seed, number, "sample", attempt)
        seed = draws.seed()
        background = sources.backgrounds[order[seat.place]]
        states = _states(seat, number, attempt) if config.share else ()
        choosing = Draws(config.seed, "objects", states[1]) if states else draws
        choices = _choices(config, choosing)
        where = f"the background {background.name!r}"
        like = [sources.measured[draws.below(len(sources.measured))] for _ in choices if config.place == "measured"]
        sizes = _sizes(config, sources, choices, background.size, like)
        boxes = placement.boxes(sizes, background.size, draws, where, like)
        yield PlanRecord(
            number,
            Draws(config.seed, "states").seed() if states else seed,
            background,
            _group(config, sources, seat, background),
            sides[seat.group] if sides else split_of(seat.group, config.val, config.test),
            tuple(map(PlannedObject, choices, boxes)),
            states,
            seat.block,
        )


def seat_of(config: GenerateConfig, number: int, photographs: int | None) -> Seat:
    """Where a number stands.

    Args:
        photographs: how many there are; None: a model paints the backgrounds.
    """
    rows, columns = config.share or (1, 1)
    block, rest = divmod(number, rows * columns)
    row, column = divmod(rest, columns)
    if photographs is None:
        return Seat(block, row, column, block, 0)
    group = block % groups_of(config, photographs)
    first = group * rows
    return Seat(block, row, column, group, first + row % min(rows, photographs - first))


def groups_of(config: GenerateConfig, photographs: int) -> int:
    """How many groups so many photographs make: with shared states those of a block go together."""
    rows, _ = config.share or (1, 1)
    return -(-photographs // rows)


def _states(seat: Seat, number: int, attempt: int) -> tuple[str, str]:
    """Objects that are drawn again share nothing."""
    again = f".{number}.{attempt}" if attempt else ""
    return f"{seat.block}.{seat.row}", f"{seat.block}.{seat.column}{again}"


def _group(config: GenerateConfig, sources: Sources, seat: Seat, background: Background) -> str:
    if config.share:
        return f"shared-{seat.group}"
    return background.name if sources.real else str(seat.group)


def _sizes(
    config: GenerateConfig, sources: Sources, choices: Sequence[int], canvas: Size, like: Sequence[RealObject]
) -> list[Size]:
    """The sizes of a sample's boxes; shared states have the grids that all boxes have."""
    own = [sources.sizes[i] for i in choices]
    if not like:
        return own
    multiples = [None if config.share else sources.multiples[i] for i in choices]
    return [each.size(size, canvas, multiple) for each, size, multiple in zip(like, own, multiples, strict=True)]


def _choices(config: GenerateConfig, draws: Draws) -> list[int]:
    """The numbers of a sample's models of objects."""
    fewest, most = config.per_image
    weights = [each.weight for each in config.objects]
    return [draws.weighted(weights) for _ in range(fewest + draws.below(most - fewest + 1))]


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
