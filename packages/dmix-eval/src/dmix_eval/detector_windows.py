"""Where the windows that a detector learns from come from: real defects, anywhere, pasted, painted or generated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve

from .photographs import Mask, Photograph

Values = NDArray[np.float32]
Random = np.random.Generator

JITTER = 0.25  # of a window's side: how far a defect's pixel lies from the middle
TRIES = 20  # pictures, until one is large enough for a pasted defect
MARGIN = 3  # pixels around a defect that Poisson blending solves for, too
CELLS = (2, 4, 8)  # of Perlin noise along a window
OPACITY = (0.2, 1.0)  # of a painted texture, DRAEM's 1 - 0.8 u


class Window(NamedTuple):
    """A window (h, w): grey values 0..255, and where defects are."""

    image: Values
    mask: Mask


class Source(Protocol):
    """Where windows come from."""

    def window(self, random: Random) -> Window:
        """Draw one."""
        ...


def cut(photo: Photograph, centre: Sequence[int], side: int) -> Window:
    """The window around a pixel, moved into the picture; a picture that is smaller is mirrored at its borders."""
    image, mask = photo.image, photo.mask
    lacking = [max(0, side - length) for length in image.shape]
    if any(lacking):
        around = [(each // 2, each - each // 2) for each in lacking]
        image, mask = np.pad(image, around, mode="symmetric"), np.pad(mask, around, mode="symmetric")
    y, x = (min(max(0, c - side // 2), n - side) for c, n in zip(centre, image.shape, strict=True))
    part = np.s_[y : y + side, x : x + side]
    return Window(image[part].astype(np.float32), mask[part])


@dataclass(frozen=True)
class Anywhere:
    """Windows at any place of any picture."""

    photographs: Sequence[Photograph]
    side: int

    def window(self, random: Random) -> Window:
        photo = self.photographs[int(random.integers(len(self.photographs)))]
        return cut(photo, random.integers(photo.image.shape).tolist(), self.side)


@dataclass(frozen=True)
class AtSpots:
    """Windows around spots: a picture, one of its spots, one of this one's pixels, and some jitter."""

    photographs: Sequence[Photograph]
    side: int

    def window(self, random: Random) -> Window:
        photo, spot = _spot(self.photographs, random)
        reach = int(JITTER * self.side)
        centre = spot[random.integers(len(spot))] + random.integers(-reach, reach + 1, 2)
        return cut(photo, centre.tolist(), self.side)


@dataclass(frozen=True)
class Pasted:
    """Real defects, cut out by their masks, pasted at any place of other pictures.

    Attributes:
        poisson: take over the defect's gradients, with the surroundings' values at the border (Pérez et al., 2003).
    """

    defects: Sequence[Photograph]
    backgrounds: Sequence[Photograph]
    side: int
    poisson: bool = False

    def window(self, random: Random) -> Window:
        photo, spot = _spot(self.defects, random)
        background = Anywhere(self.backgrounds, self.side).window(random)
        patch = cut(photo, spot[random.integers(len(spot))].tolist(), self.side)
        return _moved_onto(background, patch, random, self.poisson)


def _moved_onto(background: Window, patch: Window, random: Random, poisson: bool) -> Window:
    """Paste what a patch's mask covers onto a background, at another place within the window."""
    rows, columns = np.nonzero(patch.mask)
    free = [
        random.integers(-int(places.min()), length - int(places.max()))
        for places, length in zip((rows, columns), patch.mask.shape, strict=True)
    ]
    image, mask = np.roll(patch.image, free, (0, 1)), np.roll(patch.mask, free, (0, 1))
    pasted = blended(background.image, image, mask) if poisson else np.where(mask, image, background.image)
    return Window(pasted.astype(np.float32), background.mask | mask)


def blended(background: Values, image: Values, mask: Mask) -> Values:
    """Poisson blending: inside the mask, grown by a margin, the image's Laplacian; outside, the background.

    Args:
        background, image: (h, w).
        mask: (h, w); what lies at the border of the window stays the background's.
    """
    inside = np.asarray(binary_dilation(mask, iterations=MARGIN))
    inside[[0, -1], :] = inside[:, [0, -1]] = False
    number = np.full(mask.shape, -1)
    number[inside] = np.arange(inside.sum())
    y, x = np.nonzero(inside)
    right = 4 * image[y, x]
    rows, columns = [np.arange(len(y))], [np.arange(len(y))]
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        beside = number[y + dy, x + dx]
        right = right - image[y + dy, x + dx] + np.where(beside < 0, background[y + dy, x + dx], 0)
        rows.append(np.flatnonzero(beside >= 0))
        columns.append(beside[beside >= 0])
    weights = np.concatenate([np.full(len(y), 4.0), np.full(sum(map(len, rows[1:])), -1.0)])
    matrix = coo_array((weights, (np.concatenate(rows), np.concatenate(columns)))).tocsc()
    result = background.copy()
    result[inside] = np.clip(spsolve(matrix, right.astype(float)), 0, 255)
    return result


@dataclass(frozen=True)
class Perlin:
    """Another picture's texture, in other light, where Perlin noise is high (Zavrtanik et al., DRAEM, ICCV 2021).

    DRAEM takes textures of everyday things; these are of the normal pictures themselves, turned and in other light.
    """

    photographs: Sequence[Photograph]
    side: int

    def window(self, random: Random) -> Window:
        anywhere = Anywhere(self.photographs, self.side)
        background, texture = anywhere.window(random), anywhere.window(random)
        mask = perlin(self.side, random) > np.quantile(perlin(self.side, random), random.uniform(0.85, 0.97))
        light = random.uniform(0.4, 1.6) * np.rot90(texture.image, int(random.integers(4))) + random.uniform(-60, 60)
        opacity = random.uniform(*OPACITY)
        painted = opacity * np.clip(light, 0, 255) + (1 - opacity) * background.image
        return Window(np.where(mask, painted, background.image).astype(np.float32), mask)


def perlin(side: int, random: Random) -> Values:
    """Gradient noise (side, side), about -1 to 1, of a random number of cells along each axis (Perlin, 1985)."""
    cells = random.choice(CELLS, 2)
    angles = random.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))
    at = [np.arange(side) * count / side for count in cells]
    whole = [each.astype(int) for each in at]
    y, x = np.meshgrid(*(each - first for each, first in zip(at, whole, strict=True)), indexing="ij")
    corners = {}
    for dy in (0, 1):
        for dx in (0, 1):
            angle = angles[np.ix_(whole[0] + dy, whole[1] + dx)]
            corners[dy, dx] = np.sin(angle) * (y - dy) + np.cos(angle) * (x - dx)
    v, u = (each**3 * (each * (each * 6 - 15) + 10) for each in (y, x))
    upper, lower = (corners[dy, 0] + u * (corners[dy, 1] - corners[dy, 0]) for dy in (0, 1))
    return (np.sqrt(2) * (upper + v * (lower - upper))).astype(np.float32)


def _spot(photographs: Sequence[Photograph], random: Random) -> tuple[Photograph, NDArray[np.intp]]:
    photo = photographs[int(random.integers(len(photographs)))]
    return photo, photo.spots[random.integers(len(photo.spots))]
