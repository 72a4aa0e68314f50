"""Where regions meet: the parts of the canvas that are merged each on its own.

Where the bottom region is a still image, a pixel that no other region covers stays what it is. So only the boxes of the
others are merged, together where they overlap, and a composition costs what its objects cover.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from .geometry import Box, Size
from .protocols import LocalMergeRule, MergeRule, Region


@dataclass(frozen=True)
class Window:
    """A part of the canvas.

    Attributes:
        box: its place; windows may overlap.
        members: the numbers of the regions that meet in it, from bottom to top. What other regions paint in it is not
            in its layers, so that it is to be looked at in the places of its members only.
    """

    box: Box
    members: tuple[int, ...]


def windows(regions: Sequence[Region], size: Size, merge: MergeRule) -> list[Window]:
    """The windows in which regions, from bottom to top, are merged on a canvas of this size (H, W)."""
    if not (isinstance(merge, LocalMergeRule) and regions[0].denoiser.spec.still):
        return [Window(Box(0, 0, size[1], size[0]), tuple(range(len(regions))))]
    places = [region.place for region in regions]
    grown = [place.grown(merge.reach, size) for place in places]
    return [
        Window(reduce(Box.hull, (grown[i] for i in cluster)), (0, *cluster)) for cluster in _clusters(places, grown)
    ]


def _clusters(places: Sequence[Box], grown: Sequence[Box]) -> list[list[int]]:
    """The regions above the bottom one, in groups that do not reach each other; each from bottom to top."""
    clusters: list[list[int]] = []
    for i in range(1, len(places)):
        near = [cluster for cluster in clusters if any(_overlap(grown[i], places[j]) for j in cluster)]
        apart = [cluster for cluster in clusters if cluster not in near]
        clusters = [*apart, sorted([i, *(j for cluster in near for j in cluster)])]
    return clusters


def _overlap(a: Box, b: Box) -> bool:
    shared = a.shared(b)
    return shared.width > 0 and shared.height > 0
