"""A region: a denoiser and the box of the canvas that it paints."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .geometry import Box, resize
from .protocols import Denoiser, Layer, Size


@dataclass(frozen=True, eq=False)
class BoxRegion:
    """A denoiser that paints an upright box.

    Attributes:
        denoiser: one with a mask channel is an object and owns what its mask says; one without owns its whole box.
        box: in canvas pixels; a box of another size than the denoiser's grid is met by resizing clean predictions,
            never noise. None: the box from the canvas' corner as large as the grid.
        name: unique in a composition.
        z: a higher region occludes a lower one; equal heights keep the order in which they were given.
        listen_from: the fraction of the denoising from which it takes in the others; None: the composer's merge_from.
    """

    denoiser: Denoiser
    box: Box | tuple[int, int, int, int] | None = None
    name: str = "background"
    z: int = 0
    listen_from: float | None = None

    @property
    def place(self) -> Box:
        """The box, whether given or implied."""
        height, width = self.denoiser.spec.size
        return Box(0, 0, width, height) if self.box is None else Box(*self.box)

    def lay(self, clean: Tensor, size: Size) -> Layer:
        """Resize to the box, read the matte as (m + 1) / 2 (one everywhere without a mask channel), paste.

        Raises:
            GeometryError: the box has no area or leaves the canvas.
        """
        place = self.place.check_inside(size, f"region {self.name!r}")
        patch = resize(clean, place.size)
        channels = self.denoiser.spec.image_channels
        image, mask = patch[:, :channels], patch[:, channels:]
        matte = (mask / 2 + 0.5).clamp(0, 1) if mask.shape[1] else torch.ones_like(image[:, :1])
        return Layer(place.paste(image, size), place.paste(matte, size))

    def view(self, canvas: Tensor) -> Tensor:
        """Crop the box and resize it to the denoiser's grid."""
        return resize(self.place.crop(canvas), self.denoiser.spec.size)
