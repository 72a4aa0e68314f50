"""An object that stays inside: no mask along the sides of its box that it may not cross."""

from dataclasses import dataclass

from torch import Tensor

from .errors import CompositionError
from .protocols import Prediction
from .wrapper import Wrapper


@dataclass(frozen=True, eq=False)
class Inside(Wrapper):
    """A denoiser of objects whose mask is empty along some sides of its grid.

    What has learned objects from crops that end where a picture ends may paint one that its box cuts off. The mask that
    is known to be empty takes the place of what is predicted, as known pixels do in inpainting (Lugmayr et al. 2022,
    eq. 8), from the first step on: so the network sees an object that ends there, and paints one.

    Attributes:
        denoiser: one with a mask channel.
        left, top, right, bottom: how many pixels of the grid are kept free along each side; 0: the object may reach it.

    Raises:
        CompositionError: the denoiser has no mask, or nothing of its grid is left.
    """

    left: int = 2
    top: int = 2
    right: int = 2
    bottom: int = 2

    def __post_init__(self) -> None:
        (height, width), margins = self.spec.size, (self.left, self.top, self.right, self.bottom)
        if not self.spec.mask_channels:
            raise CompositionError("inside keeps the masks of objects off their sides; this denoiser has no mask.")
        if min(margins) < 0 or self.left + self.right >= width or self.top + self.bottom >= height:
            raise CompositionError(
                f"inside keeps {margins} pixels free at the left, top, right and bottom of a grid of {width}x{height}; "
                "expected 0 or more at each, and some pixels between them."
            )

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        prediction = self.denoiser(x_t, t)
        clean = prediction.clean.clone()
        mask = clean[:, self.spec.image_channels :]
        height, width = self.spec.size
        for free in (mask[..., : self.top, :], mask[..., height - self.bottom :, :]):
            free.fill_(-1)
        for free in (mask[..., : self.left], mask[..., width - self.right :]):
            free.fill_(-1)
        return prediction._replace(clean=clean)
