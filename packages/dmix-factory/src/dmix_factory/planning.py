"""The plan: what each sample of a set shows, one record after another, without any model.

A record depends on the config, the sources and its number alone, so that any part of a plan can be made anywhere.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dmix_core.geometry import Box, Size
from dmix_data.box_lists import ListedBox
from dmix_data.options import Split

from .bundles import Bundles, split_of, splits_of
from .foreground import foreground_of
from .generate_config import GenerateConfig, class_of
from .measured import RealObject
from .placement import Placement
from .plan_draws import Draws
from .sources import Background, Sources, bundled


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
        side: the number of what stands on one side with it.
        place: the number of its background.
    """

    block: int
    row: int
    column: int
    side: int
    place: int


def plan(
    config: GenerateConfig, sources: Sources, numbers: Iterable[int] | None = None, attempt: int = 0
) -> Iterator[PlanRecord]:
    """The records of a set, one at a time.

    Args:
        numbers: which of them; None: all.
        attempt: draws boxes and noise anew for each number, while backgrounds and split stay.

    Raises:
        GeometryError: boxes cannot be placed, and which rule forbids it.
    """
    bundles = bundled(config, sources) if sources.real else None
    sides = splits_of(bundles.sides, config.val, config.test) if bundles else None
    placing = _Placing(config, sources)
    for number in range(config.n) if numbers is None else numbers:
        seat = seat_of(config, number, bundles)
        draws = Draws(config.seed, number, "sample", attempt)
        seed = draws.seed()
        background = sources.backgrounds[seat.place]
        states = _states(seat, number, attempt) if config.share else ()
        choosing = Draws(config.seed, "objects", states[1]) if states else draws
        yield PlanRecord(
            number,
            Draws(config.seed, "states").seed() if states else seed,
            background,
            _group(config, sources, seat, background),
            sides[seat.side] if sides else split_of(seat.side, config.val, config.test),
            (*placing.fixed, *placing.placed(number, background, choosing, draws)),
            states,
            seat.block,
        )


def seat_of(config: GenerateConfig, number: int, bundles: Bundles | None) -> Seat:
    """Where a number stands.

    Args:
        bundles: the photographs; None: a model paints the backgrounds.
    """
    rows, columns = config.share or (1, 1)
    block, rest = divmod(number, rows * columns)
    row, column = divmod(rest, columns)
    if bundles is None:
        return Seat(block, row, column, block, 0)
    photographs, side = bundles.bundles[block % len(bundles.bundles)]
    return Seat(block, row, column, side, photographs[row % len(photographs)])


def _states(seat: Seat, number: int, attempt: int) -> tuple[str, str]:
    """Objects that are drawn again share nothing."""
    again = f".{number}.{attempt}" if attempt else ""
    return f"{seat.block}.{seat.row}", f"{seat.block}.{seat.column}{again}"


def _group(config: GenerateConfig, sources: Sources, seat: Seat, background: Background) -> str:
    if config.share:
        return f"shared-{seat.side}"
    return background.group if sources.real else str(seat.side)


class _Placing:
    """Decides on the objects of samples and their boxes.

    Attributes:
        fixed: the objects that have boxes of their own, which are in every sample.
    """

    def __init__(self, config: GenerateConfig, sources: Sources) -> None:
        self.config, self.sources = config, sources
        boxes = ((number, each.box) for number, each in enumerate(config.objects))
        self.fixed = tuple(PlannedObject(number, Box(*box)) for number, box in boxes if box)
        self._rules = Placement(config.min_distance, config.max_overlap, sources.roi)
        self._arrangements = [*sources.listed.values()]

    def placed(self, number: int, background: Background, choosing: Draws, draws: Draws) -> Iterator[PlannedObject]:
        """The other objects of a sample.

        Args:
            choosing: draws which objects these are.
            draws: draws where they are.
        """
        if self._arrangements:
            listed = self.sources.listed.get(background.name)
            return self._of_list(listed or self._arrangements[number % len(self._arrangements)], choosing)
        choices = self._choices(choosing)
        return map(PlannedObject, choices, self._drawn(choices, background, draws))

    def _of_list(self, listed: Sequence[ListedBox], draws: Draws) -> Iterator[PlannedObject]:
        """All of the listed boxes, or as many as `per_image` states, each for an object of its class."""
        numbers: Sequence[int] = range(len(listed))
        if self.config.per_image:
            numbers = sorted(draws.shuffled(numbers)[: self._count(draws)])
        return (PlannedObject(self._of_class(listed[i].class_name, draws), listed[i].box) for i in numbers)

    def _of_class(self, name: str, draws: Draws) -> int:
        objects = self.config.objects
        return self._weighted([i for i in self.config.drawn if name in ("", class_of(objects[i]))], draws)

    def _choices(self, draws: Draws) -> list[int]:
        """The numbers of a sample's models of objects."""
        drawn = self.config.drawn
        return [self._weighted(drawn, draws) for _ in range(self._count(draws))] if drawn else []

    def _weighted(self, numbers: Sequence[int], draws: Draws) -> int:
        return numbers[draws.weighted([self.config.objects[i].weight for i in numbers])]

    def _count(self, draws: Draws) -> int:
        fewest, most = self.config.per_image or (1, 1)
        return fewest + draws.below(most - fewest + 1)

    def _drawn(self, choices: Sequence[int], background: Background, draws: Draws) -> list[Box]:
        real = self.sources.measured if self.config.place == "measured" else ()
        like = [real[draws.below(len(real))] for _ in choices if real]
        sizes, taken = self._sizes(choices, background.size, like), [each.box for each in self.fixed]
        rules = self._on_foreground(background) if self.config.place == "foreground" else self._rules
        return rules.boxes(sizes, background.size, draws, f"the background {background.name!r}", like, taken)

    def _on_foreground(self, background: Background) -> Placement:
        """The rules with the photograph's foreground as region of interest, within the one that is stated."""
        shown, roi = foreground_of(background.path), self.sources.roi
        if roi is None:
            return replace(self._rules, roi=shown, region="the foreground")
        both = shown & roi if roi.shape == shown.shape else roi
        return replace(self._rules, roi=both, region="the foreground within `roi`")

    def _sizes(self, choices: Sequence[int], canvas: Size, like: Sequence[RealObject]) -> list[Size]:
        """The sizes of a sample's boxes; shared states have the grids that all boxes have."""
        own = [self.sources.sizes[i] for i in choices]
        if not like:
            return own
        multiples = [None if self.config.share else self.sources.multiples[i] for i in choices]
        return [each.size(size, canvas, multiple) for each, size, multiple in zip(like, own, multiples, strict=True)]
