"""A region: a denoiser and the box of the canvas that it paints."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .geometry import Box, resize
from .naming import UNNAMED
from .protocols import Denoiser, Layer, Region, Size, Spec, attribute


@dataclass(frozen=True, eq=False)
class BoxRegion:
    """A denoiser that paints an upright box.

    Attributes:
        denoiser: one with a mask channel is an object and owns what its mask says; one without owns its whole box.
        box: in canvas pixels; a box of another size than the denoiser's grid is met by resizing clean predictions,
            never noise. None: the box from the canvas' corner as large as the grid.
        name: unique in a composition; the composer numbers those that are given none.
        z: a higher region occludes a lower one; equal heights keep the order in which they were given.
        listen_from: the fraction of the denoising from which it takes in the others; None: the composer's merge_from.
    """

    denoiser: Denoiser
    box: Box | tuple[int, int, int, int] | None = None
    name: str = UNNAMED
    z: int = 0
    listen_from: float | None = None

    @property
    def place(self) -> Box:
        """The box, whether given or implied."""
        height, width = self.canvas_spec.size
        return Box(0, 0, width, height) if self.box is None else Box(*self.box)

    @property
    def canvas_spec(self) -> Spec:
        """What it paints on the canvas, at its own size: what its denoiser says, which is of pixels."""
        return self.denoiser.spec

    def support(self, size: Size) -> Tensor:
        """The box as ones (1, 1, H, W); errors as for `lay`."""
        place = self._placed(size)
        return place.paste(torch.ones(1, 1, *place.size), size)

    def lay(self, clean: Tensor, size: Size) -> Layer:
        """Resize to the box, read the matte as (m + 1) / 2 (one everywhere without a mask channel), paste.

        Raises:
            GeometryError: the box has no area or leaves the canvas.
        """
        place = self._placed(size)
        patch = resize(clean, place.size)
        channels = self.canvas_spec.image_channels
        image, mask = patch[:, :channels], patch[:, channels:]
        matte = (mask / 2 + 0.5).clamp(0, 1) if mask.shape[1] else torch.ones_like(image[:, :1])
        return Layer(place.paste(image, size), place.paste(matte, size))

    def view(self, canvas: Tensor) -> Tensor:
        """Crop the box and resize it to the denoiser's grid."""
        return resize(self.place.crop(canvas), self.denoiser.spec.size)

    def _placed(self, size: Size) -> Box:
        return self.place.check_inside(size, f"region {self.name!r}")


def region_of(
    denoiser: Denoiser, box: Box | None = None, name: str = UNNAMED, z: int = 0, listen_from: float | None = None
) -> Region:
    """A denoiser's region: a BoxRegion, or of the type that the denoiser asks for."""
    region_type: Callable[..., Region] = attribute(denoiser, "region_type", BoxRegion)
    return region_type(denoiser, box, name, z, listen_from)


def canvas_spec(region: Region) -> Spec:
    """What a region paints on the canvas, at its own size."""
    return getattr(region, "canvas_spec", region.denoiser.spec)


def is_grey(region: Region) -> bool:
    """Whether all that it paints may be written as grey."""
    return canvas_spec(region).image_channels == 1 or bool(attribute(region.denoiser, "grey", False))


def encoder(region: Region) -> Callable[[Tensor], Tensor] | None:
    """The method `encode` of a region whose grid is not of pixels."""
    return getattr(region, "encode", None)
