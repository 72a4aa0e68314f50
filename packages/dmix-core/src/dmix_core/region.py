"""A region: a denoiser and the box of the canvas that it paints."""

from dataclasses import dataclass

from torch import Tensor

from .geometry import Box, Size, resize
from .naming import UNNAMED
from .protocols import Denoiser, Layer, Region


@dataclass(frozen=True, eq=False)
class BoxRegion:
    """A denoiser that paints an upright box.

    Attributes:
        denoiser: one with a mask channel is an object and owns what its mask covers; one without owns its whole box.
        box: in canvas pixels; a box of another size than the denoiser's picture is met by resizing clean predictions,
            never noise. None: the box from the canvas' corner as large as the picture.
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
        if self.box is not None:
            return Box(*self.box)
        height, width = self.denoiser.spec.picture.size
        return Box(0, 0, width, height)

    def lay(self, clean: Tensor) -> Layer:
        """Resize to the box; the matte is (m + 1) / 2, one everywhere without a mask channel."""
        patch = resize(clean, self.place.size)
        channels = self.denoiser.spec.picture.image_channels
        image, mask = patch[:, :channels], patch[:, channels:]
        matte = (mask / 2 + 0.5).clamp(0, 1) if mask.shape[1] else image.new_ones(()).expand(image[:, :1].shape)
        return Layer(image, matte)

    def view(self, patch: Tensor, size: Size | None = None) -> Tensor:
        """Resize what lies in the box to the denoiser's grid, or to another size."""
        return resize(patch, size or self.denoiser.spec.size)


def encoded(region: Region, patch: Tensor) -> Tensor:
    """What a region's grid sees of a picture on its place (B, K, *place.size): a state (B, C, h, w), without mask."""
    spec = region.denoiser.spec
    seen = region.view(patch, spec.picture.size)
    return seen if spec.codec is None else spec.codec.encode(seen)


def is_grey(region: Region) -> bool:
    """Whether all that it paints may be written as grey."""
    spec = region.denoiser.spec
    return spec.grey or spec.picture.image_channels == 1
