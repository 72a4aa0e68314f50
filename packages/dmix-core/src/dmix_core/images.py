"""Pictures in and out: files of 8 bits per channel on one side, tensors in [-1, 1] on the other."""

import io
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from .errors import ImageError
from .files import write_atomically
from .image_files import MODES, read_pixels

# Black for the bottom region, then the colours of Okabe & Ito, which colour-blind readers can tell apart.
_COLOURS = [
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
]
PALETTE = ((0, 0, 0), *(_COLOURS[i % len(_COLOURS)] for i in range(255)))
"""The colour of each of the 256 values of an index picture."""


def read_image(path: str | Path, channels: int = 3) -> Tensor:
    """Read a picture, upright by its EXIF orientation.

    `to_uint8` of the result is bit-identical to the picture's pixels. Grey becomes RGB by copying; palettes
    are looked up; an alpha channel that is not asked for is dropped if nothing shows through.

    Args:
        channels: 3 for RGB, 1 for grey, 4 for RGB and alpha, which is -1 where the picture is transparent.

    Returns:
        (channels, H, W) float32 in [-1, 1], pixel / 127.5 - 1.

    Raises:
        ImageError: the file is missing, damaged, no picture, not of 8 bits in grey or RGB, or transparent where alpha
            was not asked for.
    """
    planes = torch.from_numpy(read_pixels(path, channels))
    return rearrange(planes.float() / 127.5 - 1, "h w c -> c h w").contiguous()


def to_uint8(image: Tensor) -> Tensor:
    """Pixels 0..255 of an image in [-1, 1], rounded and clamped; the shape stays."""
    return image.detach().float().add(1).mul(127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def to_picture(image: Tensor, *, grey: bool = False) -> Image.Image:
    """A Pillow picture of an image (1, 3 or 4, H, W), grey, RGB or RGBA: float in [-1, 1], or uint8 taken as it is.

    Args:
        grey: one channel (luma; exact where red, green and blue are equal).
    """
    if image.ndim != 3 or image.shape[0] not in MODES:
        raise ImageError(f"A picture is made of a tensor (1, 3 or 4, H, W); got the shape {tuple(image.shape)}.")
    planes = image.cpu() if image.dtype == torch.uint8 else to_uint8(image)
    layout = "1 h w -> h w" if len(planes) == 1 else "c h w -> h w c"
    picture = Image.fromarray(rearrange(planes, layout).contiguous().numpy())
    return picture.convert("L") if grey else picture


def index_picture(index: Tensor) -> Image.Image:
    """A palette picture of region numbers (H, W) uint8: the file holds the numbers, viewers show colours."""
    if index.ndim != 2 or index.dtype != torch.uint8:
        raise ImageError(f"An index picture is made of a uint8 tensor (H, W); got {index.dtype} {tuple(index.shape)}.")
    picture = Image.fromarray(index.cpu().contiguous().numpy())
    picture.putpalette([value for colour in PALETTE for value in colour])
    return picture


def png_bytes(picture: Tensor | Image.Image, *, grey: bool = False) -> bytes:
    """A picture, or an image as for `to_picture`, as a PNG file's content."""
    if isinstance(picture, Tensor):
        picture = to_picture(picture, grey=grey)
    elif grey:
        picture = picture.convert("L")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def write_png(path: str | Path, picture: Tensor | Image.Image, *, grey: bool = False) -> Path:
    """Write a picture, or an image as for `to_picture`, whole or not at all.

    Raises:
        DmixError: the file cannot be written.
    """
    return write_atomically(path, png_bytes(picture, grey=grey))
