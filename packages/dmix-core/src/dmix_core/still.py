"""A photograph as a denoiser: its clean prediction is always the photograph."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from .errors import ImageError
from .images import Picture, as_image
from .noise import NoiseSchedule
from .protocols import Prediction, Spec


@dataclass(frozen=True, eq=False)
class StillImage:
    """Composing objects into it is RePaint with a generated mask; pixels that no object owns stay what they are.

    Attributes:
        image: (C + M, H, W) in [-1, 1], as `images.read_image` gives it.
        mask_channels: M, 0 or 1; with 1 the last channel marks the pixels that it owns, 1 opaque, -1 transparent: what
            is transparent shows the regions below.
        noise: the table by which objects see it noised; any will do, since no network was trained with it.
    """

    image: Tensor = field(repr=False)
    mask_channels: int = 0
    noise: NoiseSchedule = field(default_factory=NoiseSchedule.linear)

    @classmethod
    def of(cls, picture: Picture, value_range: tuple[float, float] | None = None) -> Self:
        """The denoiser of a picture of any kind; its alpha becomes the mask channel where something is transparent.

        Args:
            picture: as `images.as_image` takes it, whose errors it raises.
            value_range: of floats, as `images.as_image` takes it.
        """
        image = as_image(picture, value_range)
        return cls(image, mask_channels=int(len(image) == 4))

    def __post_init__(self) -> None:
        if self.image.ndim != 3:
            raise ImageError(f"A still image is a tensor (C, H, W); got the shape {tuple(self.image.shape)}.")
        if not self.image.is_floating_point() or not bool(_largest(self.image) <= 1):
            raise ImageError(
                f"A still image is of floats in [-1, 1]; got {self.image.dtype} from {float(self.image.min()):.4g} "
                f"to {float(self.image.max()):.4g}. Read it with dmix_core.images.read_image, or use value / 127.5 - 1."
            )

    @cached_property
    def spec(self) -> Spec:
        """Still, and grey if all of its channels are equal."""
        channels, height, width = self.image.shape
        colours = self.image[: channels - self.mask_channels]
        grey = all(torch.equal(colours[0], other) for other in colours[1:])
        return Spec((height, width), len(colours), self.mask_channels, still=True, grey=grey)

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        return Prediction(self.image.to(x_t).expand_as(x_t))


def _largest(image: Tensor) -> Tensor:
    """The largest absolute value, NaN if there is one, without a second image in memory."""
    low, high = image.aminmax()
    return torch.maximum(-low, high)
