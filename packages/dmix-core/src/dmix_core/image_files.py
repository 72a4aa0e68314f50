"""Picture files, read without torch: what Pillow decodes, and what is refused because it would be read wrongly."""

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .errors import ImageError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The formats that are read, whatever a file is called: some others of Pillow's start programs, as EPS does."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for each number of channels."""

_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}
_SIXTEEN_BIT = re.compile(r";16[BLN]")  # in the raw mode that a decoder reads
_ORIENTATION = 274  # EXIF's tag
_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
"""The passes of an interlaced PNG: first column and row, and steps across and down."""


def read_pixels(path: str | Path, channels: int = 3) -> NDArray[np.uint8]:
    """The pixels (H, W, channels) of a picture, read and refused as by `read_image`."""
    pixels = np.array(eight_bit(decode(path), path, channels).convert(_mode(channels)))
    return pixels.reshape(*pixels.shape[:2], channels)


def decode(path: str | Path) -> Image.Image:
    """A file's picture in its own mode, upright by its EXIF orientation.

    Raises:
        ImageError: the file is missing, damaged, no picture in one of FORMATS, or one that Pillow would not decode as
            it is: of more pixels than `Image.MAX_IMAGE_PIXELS`, with several frames, with fewer rows than its header
            states, or with several channels of 16 bits, of which it would drop 8.
    """
    with _opened(path) as picture:
        _check_header(picture, path)
        picture.load()
        if picture.format == "PNG" and _ends_in_zeros(picture):
            _check_rows(path)
        return ImageOps.exif_transpose(picture) or picture.copy()


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for, a device read for ever
            raise ImageError(f"Cannot read {str(path)!r} as a picture: a folder, pipe or device. Expected a file.")
        with Image.open(path, formats=FORMATS) as picture:
            yield picture
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except FileNotFoundError as error:
        raise ImageError(f"There is no picture {str(path)!r}. Expected the path of a picture file.") from error
    except Exception as error:  # each of Pillow's decoders has its own way to fail on a damaged file
        raise ImageError(
            f"Cannot read {str(path)!r} as a picture ({error}). "
            f"Expected a whole file in one of the formats {', '.join(FORMATS)}; try to open and save it again."
        ) from error


def is_turned(path: str | Path) -> bool:
    """Whether by EXIF a picture has to be turned or mirrored to be upright.

    Raises:
        ImageError: the file is missing, damaged, or no picture.
    """
    with _opened(path) as picture:
        return picture.getexif().get(_ORIENTATION) in range(2, 9)


def metadata(path: str | Path) -> str:
    """The XMP metadata of a picture file as text; "" without any.

    Raises:
        ImageError: the file is missing, damaged, or no picture.
    """
    with _opened(path) as picture:
        if picture.format == "PNG":
            picture.load()  # text may stand behind the pixels
        found = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or ""
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)


def _check_header(picture: Image.Image, path: str | Path) -> None:
    # Pillow warns above this limit, and refuses above twice as much
    if Image.MAX_IMAGE_PIXELS and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
        raise _too_large(path)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # cameras put a second view behind the photograph itself
        raise ImageError(
            f"{str(path)!r} has {frames} frames or pages; expected one picture. Save each in a file of its own."
        )
    tiles = getattr(picture, "tile", [])
    if len(picture.getbands()) > 1 and any(_SIXTEEN_BIT.search(str(tile[3])) for tile in tiles):
        raise ImageError(
            f"{str(path)!r} has {'+'.join(picture.getbands())} channels of 16 bits; expected 8 bits per channel. "
            "Convert it in a way that suits its values, and save it as an 8-bit RGB or grey PNG."
        )


def _ends_in_zeros(picture: Image.Image) -> bool:
    """Whether one of the last two rows is all zeros, as Pillow leaves those that it finds no data for."""
    rows = range(max(0, picture.height - 2), picture.height)  # interlacing stores every other row last
    return any(not np.asarray(picture.crop((0, y, picture.width, y + 1))).any() for y in rows)


def _check_rows(path: str | Path) -> None:
    """Refuse a PNG with fewer bytes of pixels than its header states, which Pillow would fill with zeros."""
    content = Path(path).read_bytes()
    width, height, depth, colour, interlaced = struct.unpack(">IIBBxxB", content[16:29])
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = _ADAM7 if interlaced else [(0, 0, 1, 1)]
    sizes = [(-((x - width) // across), -((y - height) // down)) for x, y, across, down in passes]
    expected = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)
    inflate = zlib.decompressobj()
    found = sum(len(inflate.decompress(part)) for part in _pixel_data(content))
    if found < expected:
        raise ImageError(
            f"{str(path)!r} has data for {found} of {expected} bytes of pixels: its last rows are missing. "
            "Expected a whole file; save it again."
        )


def _pixel_data(content: bytes) -> Iterator[bytes]:
    """The IDAT chunks of a PNG, in parts that inflate to a few megabytes at most."""
    start = 8
    while start + 8 <= len(content):
        (length,) = struct.unpack(">I", content[start : start + 4])
        end = start + 8 + length
        if content[start + 4 : start + 8] == b"IDAT":
            yield from (content[at : min(at + 4096, end)] for at in range(start + 8, end, 4096))
        start = end + 4


def _too_large(path: str | Path) -> ImageError:
    return ImageError(
        f"{str(path)!r} is a decompression bomb, or very large: expected at most {Image.MAX_IMAGE_PIXELS} pixels. "
        "Shrink it or cut it into parts; for a file that you trust, raise PIL.Image.MAX_IMAGE_PIXELS."
    )


def eight_bit(picture: Image.Image, path: str | Path, channels: int) -> Image.Image:
    if picture.mode not in _EIGHT_BIT:
        raise ImageError(
            f"{str(path)!r} has Pillow's mode {picture.mode!r}; expected 8 bits per channel in grey or RGB. "
            "Save it as an 8-bit RGB or grey PNG."
        )
    if channels != 4 and _is_transparent(picture):
        raise ImageError(
            f"{str(path)!r} is transparent in places; expected an opaque picture. "
            "Put it on a background of your choice and save it without alpha."
        )
    return picture


def _is_transparent(picture: Image.Image) -> bool:
    return picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def _mode(channels: int) -> str:
    if channels not in MODES:
        raise ImageError(f"A picture is read with 1 (grey), 3 (RGB) or 4 (RGBA) channels; got channels={channels}.")
    return MODES[channels]
