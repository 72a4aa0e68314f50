"""What the mask channel is trained to show: the mask itself, or one with soft edges.

A mask of two values asks the network for a jump at each outline, which it can only predict where it is sure of the
outline to the pixel; where it is not, what it predicts is speckled. The soft target is the mask filtered by 1/8, 3/4,
1/8 along rows and along columns. The middle weight is (3/4)^2 = 9/16, more than all others together, so that the mask's
threshold, halfway between the two values, gives back the very same mask: edges are softer, the label is not.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

MaskTarget = Literal["hard", "soft"]

KERNEL = torch.tensor([1, 6, 1]) / 8


def mask_target(kind: MaskTarget, clean: Tensor, image_channels: int) -> Tensor:
    """Clean images as they are trained on.

    Args:
        clean: (B, C + M, h, w) in [-1, 1].
        image_channels: C.

    Returns:
        shaped like `clean`; the image is untouched, and so is the sign of every mask value.
    """
    if kind == "hard" or clean.shape[1] == image_channels:
        return clean
    image, mask = clean.split([image_channels, clean.shape[1] - image_channels], 1)
    return torch.cat([image, soft(mask)], 1)


def soft(mask: Tensor) -> Tensor:
    """Masks (B, M, h, w) with soft edges; beyond the border they go on as at the border."""
    single = rearrange(mask, "b m h w -> (b m) 1 h w")
    kernel = KERNEL.to(mask)
    rows = F.conv2d(F.pad(single, (1, 1, 0, 0), mode="replicate"), kernel[None, None, None, :])
    both = F.conv2d(F.pad(rows, (0, 0, 1, 1), mode="replicate"), kernel[None, None, :, None])
    return rearrange(both, "(b m) 1 h w -> b m h w", b=len(mask))
