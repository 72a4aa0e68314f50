"""Photographs in bundles: those that a block of samples shares, and things whose photographs stand on one side."""

from collections.abc import Sequence
from typing import NamedTuple

from dmix_data.options import Split

GOLDEN = 0.6180339887498949
"""Its multiples, less their whole parts, fill 0..1 evenly however many of them are taken (Weyl 1916)."""


class Bundle(NamedTuple):
    """Photographs that are used together, by their numbers.

    Attributes:
        side: the number of what stands on one side of the split with it.
    """

    photographs: tuple[int, ...]
    side: int


class Bundles(NamedTuple):
    """All bundles in the order of their use, and how many photographs each side has."""

    bundles: tuple[Bundle, ...]
    sides: tuple[int, ...]


def bundles_of(things: Sequence[str], order: Sequence[int], size: int) -> Bundles:
    """Divide photographs into bundles of at most `size`.

    Photographs of one thing stand on one side. Things with fewer photographs than a bundle has go together with the
    next ones.

    Args:
        things: what each photograph shows.
        order: the numbers of the photographs as they are used.
    """
    members: dict[str, list[int]] = {}
    for number in order:
        members.setdefault(things[number], []).append(number)
    sides: list[list[int]] = [[]]
    for photographs in members.values():
        if len(sides[-1]) >= size:
            sides.append([])
        sides[-1].extend(photographs)
    place = {number: i for i, number in enumerate(order)}
    bundles = [
        Bundle(tuple(numbers[start : start + size]), side)
        for side, numbers in enumerate(sides)
        for start in range(0, len(numbers), size)
    ]
    return Bundles(tuple(sorted(bundles, key=lambda each: place[each.photographs[0]])), tuple(map(len, sides)))


def split_of(group: int, val: float, test: float) -> Split:
    """The side of a group by its number: of any first groups about these shares are for validation and testing."""
    point = (group + 1) * GOLDEN % 1
    if point < val:
        return "val"
    return "test" if point < val + test else "train"


def splits_of(sizes: Sequence[int], val: float, test: float) -> list[Split]:
    """The sides of groups with so many photographs each; expected are as many groups as sides, or more.

    A side takes groups as long as these bring it nearer to its share of the photographs; the smallest one where all are
    too large, so that no side is empty.
    """
    left = sorted(range(len(sizes)), key=lambda group: (group + 1) * GOLDEN % 1)
    sides: list[Split] = ["train"] * len(sizes)
    held: list[tuple[Split, float]] = [("val", val), ("test", test)]
    held = [each for each in held if each[1]]
    for number, (side, share) in enumerate(held, 1):
        spare = len(left) - 1 - len(held) + number  # the others have one each
        smallest = sorted(left, key=sizes.__getitem__)[:1]
        for group in _nearest(sizes, left, share * sum(sizes))[: max(spare, 0)] or smallest:
            left.remove(group)
            sides[group] = side
    return sides


def _nearest(sizes: Sequence[int], order: Sequence[int], target: float) -> list[int]:
    """Of the groups in this order those that bring their sum nearer to the target."""
    chosen, total = [], 0
    for group in order:
        if total + sizes[group] / 2 <= target:
            chosen.append(group)
            total += sizes[group]
    return chosen
