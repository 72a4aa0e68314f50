"""A sample before it is written: its picture, its mask, and its twin."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dmix_core.composition import tight_box
from dmix_core.geometry import Box, Size
from dmix_core.sample import Figures, contrast, figures

from .labels import Cleaning, visible


@dataclass(frozen=True, eq=False)
class Shot:
    """A composed sample.

    Attributes:
        image: (C, H, W) in [-1, 1].
        index: (H, W) uint8, 0 where no object shows, and each object's number from 1.
        boxes: in which the objects were painted.
        grey: whether it is written as a grey picture.
        twin: (C, H, W), the same background without objects; None where nobody asked for it.
        cleaned: for each object what was done to its mask.
    """

    image: Tensor = field(repr=False)
    index: Tensor = field(repr=False)
    boxes: tuple[Box, ...]
    grey: bool = False
    twin: Tensor | None = field(default=None, repr=False)
    cleaned: tuple[tuple[str, ...], ...] = ()

    @property
    def size(self) -> Size:
        """(H, W)."""
        height, width = self.index.shape
        return height, width

    def shown(self, value: int) -> Tensor:
        """The pixels of an object in its box, bool."""
        return self.boxes[value - 1].crop(self.index) == value

    def visible_box(self, value: int) -> Box | None:
        """The tight box of an object's pixels; None where none show."""
        place, box = self.boxes[value - 1], tight_box(self.shown(value))
        return box and box._replace(x=box.x + place.x, y=box.y + place.y)

    def figures(self, value: int) -> Figures:
        """How an object stands out from its surroundings."""
        return figures(self.image, self.boxes[value - 1], self.shown(value), self.visible_box(value))

    def contrast(self, value: int) -> float | None:
        """How much brighter than its surroundings an object is, in grey levels; None where that is undefined."""
        return contrast(self.image, self.boxes[value - 1], self.shown(value), self.visible_box(value))

    def beside(self, twin: Tensor) -> "Shot":
        """The same with its twin, (C, H, W)."""
        return replace(self, twin=twin)

    def at_strength(self, strength: float) -> "Shot":
        """The twin, and so many times what the objects change of it; masks stay."""
        if strength == 1:
            return self
        assert self.twin is not None
        image = (self.twin + strength * (self.image - self.twin)).clamp(-1, 1)
        return replace(self, image=torch.where(self.image == self.twin, self.twin, image))  # equal ones to the bit

    def with_clean_masks(self, rule: Cleaning, still: bool) -> "Shot":
        """The masks by a rule.

        Args:
            still: the background is a photograph, which is put back where a piece was taken away.
        """
        cleaned, done = rule.cleaned(self.index.numpy(), self.boxes)
        return replace(self._relabelled(torch.from_numpy(cleaned), still), cleaned=tuple(done))

    def with_visible_labels(self, least: float, still: bool) -> "Shot":
        """Labels by what the objects changed of the twin, by so many grey levels or more (`labels.visible`).

        Args:
            still: as for `with_clean_masks`.
        """
        assert self.twin is not None
        index, change = self.index.clone(), (self.image - self.twin).mean(0) * 127.5
        for value, box in enumerate(self.boxes, 1):
            own, part = self.shown(value), box.crop(index)
            label = torch.from_numpy(visible(own.numpy(), box.crop(change).numpy(), least))
            part[own & ~label] = 0
            part[label & (part == 0)] = value
        return self._relabelled(index, still)

    def _relabelled(self, index: Tensor, still: bool) -> "Shot":
        image = self.image
        if still and self.twin is not None:
            image = torch.where((index == 0) & (self.index > 0), self.twin, image)
        return replace(self, image=image, index=index)
