"""Boxes on a canvas: crop, paste, resize."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from .errors import GeometryError
from .protocols import Size


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

    def check_inside(self, size: Size, owner: str) -> "Box":
        """Return self if it has area and lies inside a canvas of this size; raise GeometryError if not."""
        height, width = size
        if self.width < 1 or self.height < 1:
            raise GeometryError(
                f"The box {tuple(self)} of {owner} has no area; expected x,y,width,height with both sides >= 1."
            )
        if self.x < 0 or self.y < 0 or self.x + self.width > width or self.y + self.height > height:
            fits = self.width <= width and self.height <= height
            room = f"0 <= x <= {width - self.width} and 0 <= y <= {height - self.height} for its size"
            raise GeometryError(
                f"The box {tuple(self)} of {owner} leaves the canvas of {width}x{height} pixels; "
                f"expected {room if fits else 'a box of at most that'}."
            )
        return self

    def grown(self, pixels: int, size: Size) -> "Box":
        """The box with a margin of so many pixels, as far as a canvas of this size reaches."""
        left, top = max(self.x - pixels, 0), max(self.y - pixels, 0)
        right = min(self.x + self.width + pixels, size[1])
        bottom = min(self.y + self.height + pixels, size[0])
        return Box(left, top, right - left, bottom - top)

    def crop(self, canvas: Tensor) -> Tensor:
        """The part of a canvas (..., H, W) inside the box."""
        return canvas[..., self.y : self.y + self.height, self.x : self.x + self.width]

    def paste(self, patch: Tensor, size: Size) -> Tensor:
        """A canvas of zeros with a patch of the box's size in its place."""
        height, width = size
        return F.pad(patch, (self.x, width - self.x - self.width, self.y, height - self.y - self.height))


def resize(image: Tensor, size: Size) -> Tensor:
    """Resize (B, K, h, w): by area where it shrinks, bilinear where it grows; the same tensor if nothing changes."""
    old = image.shape[-2:]
    if tuple(old) == tuple(size):
        return image
    if size[0] <= old[0] and size[1] <= old[1]:
        return F.interpolate(image, size=size, mode="area")
    return F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
