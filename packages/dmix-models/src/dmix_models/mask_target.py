"""What the mask channel is trained to show: the mask itself, or one with soft edges.

A mask of two values asks the network for a jump at each outline, which it can only predict where it is sure of the
outline to the pixel; where it is not, what it predicts has holes and specks. The soft target is the mean of the mask
over 3x3 pixels, kept on the mask's side of the threshold by at least one pixel's share: edges are softer, while the
label that the threshold gives back is the very same, lines of one pixel included.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

MaskTarget = Literal["hard", "soft"]

SHARE = 2 / 9  # of one pixel of 3x3, in a range from -1 to 1


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
    """Masks (B, M, h, w) of -1 and 1 with soft edges; beyond the border they go on as at the border."""
    mean = F.avg_pool2d(F.pad(mask, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return mask * (mask * mean).clamp(min=SHARE)
