"""Regions on the canvas: what they paint, laid and merged window by window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from .geometry import Box, Size, moved
from .mattes import blend
from .protocols import Layer, Merged, Region
from .windows import Window


@dataclass(frozen=True, eq=False)
class Meeting:
    """What became of the regions of a window.

    Attributes:
        layers: one for each member, (B, C, *window.box.size).
    """

    window: Window
    layers: list[Layer]
    merged: Merged

    def repainted(self) -> list[Layer]:
        """The layers with what the rule has changed beyond weighing them."""
        change = self.merged.change
        return self.layers if change is None else [Layer(image + change, matte) for image, matte in self.layers]

    def mixed(self, layers: Sequence[Layer]) -> "Meeting":
        """Other layers of the same regions, by the same weights."""
        return Meeting(self.window, list(layers), blend(layers, self.merged.weights))


@dataclass(frozen=True, eq=False)
class Canvas:
    """A canvas on which regions met; what is asked of all of it is made when it is asked for.

    Attributes:
        size: (H, W).
        regions: from bottom to top.
        laid: each region's layer on its own place, (B, C, *place.size).
        meetings: one for each window.
    """

    size: Size
    regions: Sequence[Region]
    laid: list[Layer] = field(repr=False)
    meetings: list[Meeting] = field(repr=False)

    @cached_property
    def layers(self) -> list[Layer]:
        """Every region's layer, (B, C, H, W)."""
        return [
            Layer(*(moved(part, region.place, self.box) for part in layer))
            for region, layer in zip(self.regions, self.laid, strict=True)
        ]

    @cached_property
    def merged(self) -> Merged:
        """The whole canvas (B, C, H, W), and the weights of all regions (N, B, 1, H, W)."""
        if self.whole:
            return self.meetings[0].merged
        canvas = moved(self.laid[0].image, self.regions[0].place, self.box).clone()
        weights = canvas.new_zeros(len(self.regions), len(canvas), 1, *self.size)
        weights[0] = 1
        changes = any(meeting.merged.change is not None for meeting in self.meetings)
        change = torch.zeros_like(canvas) if changes else None
        for meeting, place in self.places():
            part, box = meeting.merged, place.seen_from(meeting.window.box)
            place.crop(canvas).copy_(box.crop(part.canvas))
            place.crop(weights)[list(meeting.window.members)] = box.crop(part.weights)
            if change is not None and part.change is not None:
                place.crop(change).copy_(box.crop(part.change))
        return Merged(canvas, weights, change)

    @property
    def box(self) -> Box:
        """All of it."""
        return Box(0, 0, self.size[1], self.size[0])

    @property
    def whole(self) -> bool:
        """Whether all regions met in one window, which is all of the canvas."""
        return len(self.meetings) == 1 and self.meetings[0].window == Window(self.box, tuple(range(len(self.regions))))

    def places(self) -> Iterator[tuple[Meeting, Box]]:
        """Every window with the places in which it shows what the canvas shows: those of its upper members."""
        for meeting in self.meetings:
            for i in meeting.window.members[1:]:
                yield meeting, self.regions[i].place
