"""Boxes on a canvas: crop, paste, resize."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from .errors import GeometryError

Size = tuple[int, int]
"""(height, width) in pixels."""


class Box(NamedTuple):
    """A rectangle of whole pixels, half-open: columns x..x+width, rows y..y+height."""

    x: int
    y: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        return self.height, self.width

    @classmethod
    def centred(cls, size: Size, canvas: Size) -> "Box":
        """The box of this size in the middle of a canvas; it leaves a canvas that is smaller."""
        height, width = size
        return cls((canvas[1] - width) // 2, (canvas[0] - height) // 2, width, height)

    def grown(self, pixels: int, size: Size) -> "Box":
        """The box with a margin of so many pixels, as far as a canvas of this size reaches."""
        return Box(self.x - pixels, self.y - pixels, self.width + 2 * pixels, self.height + 2 * pixels).shared(
            Box(0, 0, size[1], size[0])
        )

    def shared(self, other: "Box") -> "Box":
        """What lies in both boxes; one without area where nothing does."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right, bottom = (
            min(self.x + self.width, other.x + other.width),
            min(self.y + self.height, other.y + other.height),
        )
        return Box(x, y, max(right - x, 0), max(bottom - y, 0))

    def hull(self, other: "Box") -> "Box":
        """The smallest box that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right, bottom = (
            max(self.x + self.width, other.x + other.width),
            max(self.y + self.height, other.y + other.height),
        )
        return Box(x, y, right - x, bottom - y)

    def seen_from(self, window: "Box") -> "Box":
        """The same box, counted from the corner of a window."""
        return self._replace(x=self.x - window.x, y=self.y - window.y)

    def check_inside(self, size: Size, owner: str) -> "Box":
        """Return self if it has area and lies inside a canvas of this size; raise GeometryError if not."""
        height, width = size
        if self.width < 1 or self.height < 1:
            raise GeometryError(
                f"The box {tuple(self)} of {owner} has no area; expected x,y,width,height with both sides >= 1."
            )
        if self.x < 0 or self.y < 0 or self.x + self.width > width or self.y + self.height > height:
            fits = self.width <= width and self.height <= height
            places = f"0 <= x <= {width - self.width} and 0 <= y <= {height - self.height} for its size"
            raise GeometryError(
                f"The box {tuple(self)} of {owner} leaves the canvas of {width}x{height} pixels; "
                f"expected {places if fits else 'a box of at most that'}."
            )
        return self

    def crop(self, canvas: Tensor) -> Tensor:
        """The part of a canvas (..., H, W) inside the box."""
        return canvas[..., self.y : self.y + self.height, self.x : self.x + self.width]

    def paste(self, patch: Tensor, size: Size) -> Tensor:
        """A canvas of zeros with a patch of the box's size in its place."""
        height, width = size
        return F.pad(patch, (self.x, width - self.x - self.width, self.y, height - self.y - self.height))


def moved(patch: Tensor, place: Box, window: Box) -> Tensor:
    """What a window (..., *window.size) shows of a patch (..., *place.size): zero where the patch is not."""
    if place == window:
        return patch
    seen = place.shared(window)
    if not (seen.width and seen.height):
        return patch.new_zeros(()).expand(*patch.shape[:-2], *window.size)
    part = seen.seen_from(place).crop(patch)
    return part if seen == window else seen.seen_from(window).paste(part, window.size)


def resize(image: Tensor, size: Size) -> Tensor:
    """Resize (B, K, h, w): by area where it shrinks, bilinear where it grows; the same tensor if nothing changes."""
    old = image.shape[-2:]
    if tuple(old) == tuple(size):
        return image
    if size[0] <= old[0] and size[1] <= old[1]:
        return F.interpolate(image, size=size, mode="area")
    return F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
