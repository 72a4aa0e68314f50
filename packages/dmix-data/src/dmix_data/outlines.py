"""The outlines of masks as polygons, along the edges of their pixels or through the centres of their outermost ones."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .arrays import Pixels, Size
from .segmentations import polygons

Mask = NDArray[np.bool_]
Points = NDArray[np.intp]
Edge = tuple[int, int, int]
"""Where an edge of a pixel starts (x, y), and its direction: 0 right, 1 down, 2 left, 3 up, the mask on its right."""

STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
PIXELS = ((0, 0), (-1, 0), (-1, -1), (0, -1))
"""From the start of an edge to the pixel on its right, by direction."""


def edge_loops(mask: Mask) -> list[Points]:
    """The corners (N, 2) as x, y of each outline of a mask, along its pixels' edges; pixels that touch at a corner are
    one part. Outer outlines run clockwise, those of holes the other way."""
    return [_corners(loop) for loop in _loops(mask)]


def pixel_loops(mask: Mask) -> list[Points]:
    """The outermost pixels (N, 2) as x, y along each outline of a mask, those on straight lines left out."""
    return [_straightened(np.array([_pixel(edge) for edge in loop])) for loop in _loops(mask)]


def joined(loops: Iterable[Points]) -> Points:
    """One polygon (N, 2) that runs along several: from each it goes to the nearest other one, and back the same way.

    Of the loops of a part and its holes, filled by the even-odd rule, it is exactly the part with its holes.
    """
    first, *rest = loops
    while rest:
        nearest = [_nearest(first, loop) for loop in rest]
        number = min(range(len(rest)), key=lambda each: nearest[each][0])
        _, here, there = nearest[number]
        loop = rest.pop(number)
        first = np.concatenate([first[: here + 1], loop[there:], loop[: there + 1], first[here:]])
    return first


def drawn(points: Points, size: Size) -> Pixels:
    """The mask (h, w), 255 inside, of a polygon through pixels (N, 2): filled by the even-odd rule, its outline drawn.

    So `cv2.fillPoly` draws, and with it the trainers of YOLO.
    """
    flat = (points + 0.5).ravel().tolist()
    mask = polygons([flat], size) if len(points) > 2 else np.zeros(size, np.uint8)
    for one, other in zip(points, np.roll(points, -1, 0), strict=True):
        count = int(np.abs(other - one).max()) + 1
        x, y = np.linspace(one, other, count).round().astype(int).T
        inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
        mask[y[inside], x[inside]] = 255
    return mask


def _loops(mask: Mask) -> Iterator[list[Edge]]:
    """The edges of each outline, one after another."""
    left = dict.fromkeys(_edges(mask))
    while left:
        edge = next(iter(left))
        loop = []
        while edge in left:
            del left[edge]
            loop.append(edge)
            edge = _following(edge, left)
        yield loop


def _edges(mask: Mask) -> Iterator[Edge]:
    """All edges between a pixel of the mask and one that is none, by direction, from the top left on."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    for direction, (across, down) in enumerate(((0, -1), (1, 0), (0, 1), (-1, 0))):
        neighbour = padded[1 + down : 1 + down + height, 1 + across : 1 + across + width]
        rows, columns = np.nonzero(mask & ~neighbour)
        dx, dy = PIXELS[direction]
        yield from ((x - dx, y - dy, direction) for x, y in zip(columns.tolist(), rows.tolist(), strict=True))


def _following(edge: Edge, left: dict[Edge, None]) -> Edge:
    """The edge after this one: to the left if there is one, which joins pixels that touch at a corner."""
    x, y, direction = edge
    x, y = x + STEPS[direction][0], y + STEPS[direction][1]
    turns = ((x, y, (direction + turn) % 4) for turn in (-1, 0, 1))
    return next((turn for turn in turns if turn in left), edge)


def _pixel(edge: Edge) -> tuple[int, int]:
    dx, dy = PIXELS[edge[2]]
    return edge[0] + dx, edge[1] + dy


def _corners(loop: Sequence[Edge]) -> Points:
    return np.array(
        [edge[:2] for edge, before in zip(loop, [loop[-1], *loop[:-1]], strict=True) if edge[2] != before[2]]
    )


def _straightened(points: Points) -> Points:
    """The points of a closed line without repetitions and without those on straight lines; at least one."""
    moved = (points != np.roll(points, 1, 0)).any(1)
    points = points[moved] if moved.any() else points[:1]
    before, after = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    turns = (before != after).any(1)
    return points[turns] if turns.any() else points


def _nearest(one: Points, other: Points) -> tuple[int, int, int]:
    """The squared distance of the nearest points of two lines, and their numbers."""
    distances = ((one[:, None] - other[None]) ** 2).sum(-1)
    here, there = np.unravel_index(distances.argmin(), distances.shape)
    return int(distances[here, there]), int(here), int(there)
