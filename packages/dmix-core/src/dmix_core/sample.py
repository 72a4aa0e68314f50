"""One finished image of a run, with its masks, its objects and where it comes from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from .geometry import Box, Size, moved
from .quality import RING, signed_contrast, visibility

MARGIN = RING + 2
"""How far around an object its figures look, in pixels: the ring, and the neighbours of its outermost pixels."""


class Figures(NamedTuple):
    """How an object stands out, as `quality.Visibility` of one sample; None where nothing of it shows."""

    contrast: float | None = None
    edge: float | None = None
    grain: float | None = None


@dataclass(frozen=True, eq=False)
class SampleObject:
    """One region above the bottom one, in one sample.

    Attributes:
        name: the region's.
        size: (H, W) of the canvas.
        window: the part of the canvas outside of which its masks are empty.
        shown: (h, w) bool in the window, the pixels that it owns in the image.
        whole: (h, w) bool in the window, the pixels that it would own if nothing lay above it.
        box: the tight box of `shown` on the canvas, None where nothing of it shows.
        figures: how it stands out from its surroundings.
    """

    name: str
    size: Size
    window: Box
    shown: Tensor = field(repr=False)
    whole: Tensor = field(repr=False)
    box: Box | None
    figures: Figures

    @property
    def visible(self) -> Tensor:
        """`shown` on the canvas, (H, W) bool; made anew at each call."""
        return self.window.paste(self.shown, self.size)

    @property
    def amodal(self) -> Tensor:
        """`whole` on the canvas, (H, W) bool; made anew at each call."""
        return self.window.paste(self.whole, self.size)

    def facts(self) -> dict[str, Any]:
        """Name, box as [x, y, width, height] and figures, as JSON has them."""
        return {"name": self.name, "box": self.box and list(self.box), **self.figures._asdict()}


@dataclass(frozen=True)
class Provenance:
    """What a sample was made from; with the recipe it is enough to make it again.

    Attributes:
        seed: the run's.
        recipe: sha256 of the recipe's text, samples, exporters and `made_with` left out; "" without a recipe.
        made_with: versions and checksums, as the function `recipe.made_with` gives them.
    """

    seed: int = 0
    recipe: str = ""
    made_with: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sample:
    """One finished image.

    Attributes:
        number: which of the run's samples; with the seed it decides the noise, unless there is a draw.
        image: (C, H, W) in [-1, 1].
        index: (H, W) uint8, the number of the region that owns the pixel, from bottom to top: 0 for the bottom one,
            1 for objects[0], and so on.
        objects: the regions above the bottom one, from bottom to top.
        draw: the number whose noise it has in the place of its own, where it was drawn again.
    """

    number: int
    image: Tensor = field(repr=False)
    index: Tensor = field(repr=False)
    objects: tuple[SampleObject, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
    draw: int | None = None

    @property
    def size(self) -> Size:
        """(H, W) of the canvas."""
        height, width = self.index.shape
        return height, width

    def facts(self) -> dict[str, Any]:
        """Its number, its draw if it has one, and its objects' facts, as JSON has them."""
        draw = {} if self.draw is None else {"draw": self.draw}
        return {"sample": self.number, **draw, "objects": [each.facts() for each in self.objects]}


def figures(image: Tensor, window: Box, shown: Tensor, box: Box | None) -> Figures:
    """The figures of an object, read around its box alone.

    Args:
        image: (C, H, W) in [-1, 1].
        window: where `shown` lies on the canvas.
        shown: (*window.size) bool, the object's pixels.
        box: the tight box of these on the canvas; None where there are none.
    """
    if box is None:
        return Figures()
    return Figures(*(_number(value) for value in visibility(*_near(image, window, shown, box))))


def contrast(image: Tensor, window: Box, shown: Tensor, box: Box | None) -> float | None:
    """Mean inside - mean around, in grey levels, None where it is undefined; arguments as for `figures`."""
    return None if box is None else _number(signed_contrast(*_near(image, window, shown, box)))


def _near(image: Tensor, window: Box, shown: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """The picture (1, C, h, w) around a box and the object's pixels (1, 1, h, w) in it."""
    around = box.grown(MARGIN, (image.shape[-2], image.shape[-1]))
    return around.crop(image)[None], moved(shown, window, around)[None, None]


def _number(value: Tensor) -> float | None:
    number = round(float(value), 3)
    return number if math.isfinite(number) else None
