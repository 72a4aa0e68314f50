"""What a model in training paints: a sheet of samples, image beside mask."""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dmix_core.composer import Composer
from dmix_core.images import to_picture, write_png
from dmix_core.pictures import contact_sheet, enlarge
from dmix_core.protocols import Denoiser
from dmix_core.region import BoxRegion
from dmix_core.timesteps import Descent

LEGIBLE = 96  # pixels of a sample's shorter side


def sample(
    denoiser: Denoiser,
    samples: int | Sequence[int],
    steps: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Paint with one model alone, down the plain ancestral chain: (samples, C + M, h, w) in about [-1, 1].

    Args:
        samples: how many, or their numbers.
    """
    alone = Composer([BoxRegion(denoiser)], steps=steps, timesteps=Descent(), merge_from=1).to(device)
    (last,) = deque(alone.steps(samples, seed), maxlen=1)
    return last.states[0]


def write_sheet(
    path: Path, images: Tensor, image_channels: int = 3, columns: int = 8, titles: Sequence[str] = ()
) -> Path:
    """Write images (B, C + M, h, w) as one PNG, so many in a row; each mask stands to the right of its image.

    Args:
        titles: one for each row.
    """
    parts = [part for image in images for part in (image[:image_channels], image[image_channels:]) if len(part)]
    tiles = [enlarge(to_picture(part), LEGIBLE) for part in parts]
    return write_png(path, contact_sheet(tiles, columns * len(parts) // len(images), titles=titles))


def write_rows(path: Path, rows: Mapping[str, Tensor], image_channels: int = 3) -> Path:
    """Write images (B, C + M, h, w), equally many in each row, as one PNG with the rows' names to the left."""
    images = torch.cat([row.cpu() for row in rows.values()])
    return write_sheet(path, images, image_channels, len(images) // len(rows), [*rows])
