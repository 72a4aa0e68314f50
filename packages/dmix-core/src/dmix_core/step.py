"""One step of a composition, and what it looks like, before the regions merge too."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from .geometry import Box, Size, moved
from .images import to_picture
from .mattes import blend, stack
from .meeting import Canvas
from .protocols import Layer, Merged, Prediction, Region
from .region import is_grey


@dataclass(eq=False)
class Step:
    """One move from level t to level s; lists hold one entry per region, from bottom to top."""

    t: int
    s: int
    size: Size
    """(H, W) of the canvas."""
    regions: Sequence[Region]
    states: list[Tensor]
    """x_s, (B, C+M, h, w); a still image's is that image, at every level."""
    predictions: list[Prediction] | None = None
    """The clean predictions at level t; None on a climb."""
    canvas: Canvas | None = None
    """Where the predictions met; None where nothing was merged."""

    @property
    def layers(self) -> list[Layer] | None:
        """The predictions laid on the canvas, (B, C, H, W); None where nothing was merged."""
        return None if self.canvas is None else self.canvas.layers

    @property
    def merged(self) -> Merged | None:
        """What the merge rule made of the layers, on all of the canvas; None where nothing was merged."""
        return None if self.canvas is None else self.canvas.merged

    def preview(self, noisy: bool = False) -> list[Image.Image]:
        """A picture of every sample as it is now, before the regions merge too.

        Args:
            noisy: False: the clean image as it is predicted here; True: the noisy states.
        """
        shown = self._noisy() if noisy else self._clean()
        return [to_picture(image, grey=all(map(is_grey, self.regions))) for image in shown]

    def _clean(self) -> Tensor:
        """(B, C, H, W): the merged canvas, or else the clean predictions, on a climb the states, over each other."""
        if self.merged:
            return self.merged.canvas
        layers = self._laid(self._owners)
        return blend(layers, stack([layer.matte for layer in layers])).canvas

    def _noisy(self) -> Tensor:
        """(B, C, H, W): the states over each other, by the merged weights, or else by the predicted masks."""
        layers = self._laid(self.states)
        if self.merged:
            return blend(layers, self.merged.weights).canvas
        return blend(layers, stack([layer.matte for layer in self._laid(self._owners)])).canvas

    @property
    def _owners(self) -> list[Tensor]:
        """Whose masks decide what is seen: the clean predictions', on a climb those of the states."""
        return [prediction.clean for prediction in self.predictions] if self.predictions else self.states

    def _laid(self, states: Sequence[Tensor]) -> list[Layer]:
        """The states as layers of the whole canvas, (B, C, H, W)."""
        canvas = Box(0, 0, self.size[1], self.size[0])
        laid = [region.lay(region.denoiser.spec.decoded(x)) for region, x in zip(self.regions, states, strict=True)]
        return [
            Layer(*(moved(part, region.place, canvas) for part in layer))
            for region, layer in zip(self.regions, laid, strict=True)
        ]
