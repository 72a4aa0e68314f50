"""Pictures in and out: files of 8 bits per channel on one side, tensors in [-1, 1] on the other."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from .errors import ImageError
from .files import write_atomically
from .image_files import MODES, decode, eight_bit, read_pixels
from .marks import KEYWORD, Mark

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

Picture = str | Path | Image.Image | NDArray[Any] | Tensor
"""What `as_image` takes."""


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


def as_image(picture: Picture, value_range: tuple[float, float] | None = None) -> Tensor:
    """A picture of any kind as an image.

    Args:
        picture: the path of a file, read as by `read_image`; a Pillow picture; an array (H, W) or (H, W, 1, 3 or 4);
            or a tensor (1, 3 or 4, H, W). Arrays and tensors are uint8 or of floats.
        value_range: of floats, (0, 1) or (-1, 1). None: [-1, 1] if some of them are negative; otherwise they are
            refused, since they could be of either range.

    Returns:
        (C, H, W) float32 in [-1, 1]: RGB, also of grey files, Pillow pictures and arrays; or RGB and alpha, which is
        -1 where it is transparent, if something is transparent. A tensor keeps its channels.

    Raises:
        ImageError: the file cannot be read, or shape, type or range are not one of these.
    """
    if isinstance(picture, Tensor):
        return _from_tensor(picture, value_range)
    if isinstance(picture, np.ndarray):
        return _from_array(picture, value_range)
    label, drawn = ("", picture) if isinstance(picture, Image.Image) else (picture, decode(picture))
    planes = eight_bit(drawn, label, channels=4).convert("RGBA")
    return _opaque(_scaled(torch.from_numpy(np.array(planes)).permute(2, 0, 1)))


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


def png_bytes(picture: Tensor | Image.Image, *, grey: bool = False, mark: Mark | None = None) -> bytes:
    """A picture, or an image as for `to_picture`, as a PNG file's content.

    Args:
        mark: how it came about, stored as XMP; the same picture with the same mark gives the same bytes.
    """
    if isinstance(picture, Tensor):
        picture = to_picture(picture, grey=grey)
    elif grey:
        picture = picture.convert("L")
    text = PngInfo()
    if mark:
        text.add_itxt(KEYWORD, mark.xmp())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


def write_png(path: str | Path, picture: Tensor | Image.Image, *, grey: bool = False, mark: Mark | None = None) -> Path:
    """Write a picture, or an image as for `to_picture`, whole or not at all, with a mark as for `png_bytes`.

    Raises:
        DmixError: the file cannot be written.
    """
    return write_atomically(path, png_bytes(picture, grey=grey, mark=mark))


def _from_tensor(picture: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    if picture.ndim != 3 or picture.shape[0] not in MODES:
        raise ImageError(
            f"A picture is given as a tensor (1, 3 or 4, H, W); got the shape {tuple(picture.shape)}. "
            "Take one image of a batch by its number, and put the channels first."
        )
    return _scaled(picture.detach(), value_range)


def _from_array(picture: NDArray[Any], value_range: tuple[float, float] | None) -> Tensor:
    planes = picture[..., None] if picture.ndim == 2 else picture
    if planes.ndim != 3 or planes.shape[2] not in MODES:
        raise ImageError(
            f"A picture is given as an array (H, W) or (H, W, 1, 3 or 4); got the shape {picture.shape}. "
            "Put the channels last, or give a tensor (C, H, W)."
        )
    image = _scaled(torch.from_numpy(np.ascontiguousarray(planes)).permute(2, 0, 1), value_range)
    return _opaque(image.expand(3, -1, -1).contiguous() if len(image) == 1 else image)


def _scaled(planes: Tensor, value_range: tuple[float, float] | None = None) -> Tensor:
    """Pixels of bytes, or floats of a known range, as float32 in [-1, 1]."""
    if planes.dtype == torch.uint8:
        return (planes.float() / 127.5 - 1).contiguous()
    if not planes.is_floating_point() or not planes.numel():
        raise ImageError(f"A picture is of uint8 or floats; got {planes.dtype} {tuple(planes.shape)}.")
    lowest, highest = float(planes.min()), float(planes.max())
    low, high = value_range or ((-1, 1) if -1 <= lowest < 0 else (0, 0))
    if (low, high) not in ((0, 1), (-1, 1)) or not low <= lowest <= highest <= high:
        raise ImageError(
            f"A picture of floats from {lowest:.4g} to {highest:.4g}"
            f"{f' does not lie in the range {value_range}' if value_range else ' could mean several things'}. "
            "Values of 0..255 are given as uint8; for others state value_range=(0, 1) or (-1, 1), as in "
            "StillImage.of(picture, value_range=(0, 1))."
        )
    planes = planes.float()
    return (planes if low else planes * 2 - 1).contiguous()


def _opaque(image: Tensor) -> Tensor:
    """The image without an alpha channel through which nothing shows."""
    return image[:3] if len(image) == 4 and bool((image[3] == 1).all()) else image
