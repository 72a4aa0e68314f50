"""What a model in training paints: a sheet of samples, image beside mask."""

from io import BytesIO
from pathlib import Path

import torch
from dmix_core.composer import Composer
from dmix_core.files import write_atomically
from dmix_core.protocols import Denoiser
from dmix_core.region import BoxRegion
from dmix_core.timesteps import Descent
from PIL import Image
from torch import Tensor


def sample(denoiser: Denoiser, samples: int, steps: int, seed: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Paint with one model alone, down the plain ancestral chain: (samples, C + M, h, w) in about [-1, 1]."""
    alone = Composer([BoxRegion(denoiser)], steps=steps, timesteps=Descent(), merge_from=1, device=device)
    for step in alone.steps(samples, seed):
        pass
    return step.states[0]


def write_sheet(path: Path, images: Tensor, columns: int = 8) -> Path:
    """Write images (B, 3 + M, h, w) as one PNG of 2-pixel gaps; each mask stands to the right of its image."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()
    tiles = [[Image.fromarray(each[..., :3]), *map(Image.fromarray, each[..., 3:].transpose(2, 0, 1))] for each in pixels]
    width, height = 2 + tiles[0][0].width, 2 + tiles[0][0].height
    across = min(columns, len(tiles)) * len(tiles[0])
    sheet = Image.new("RGB", (across * width - 2, -(-len(tiles) // columns) * height - 2), "white")
    for number, tile in enumerate(sum(tiles, [])):
        sheet.paste(tile, (number % across * width, number // across * height))
    data = BytesIO()
    sheet.save(data, "PNG")
    return write_atomically(path, data.getvalue())
