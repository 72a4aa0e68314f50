"""Photographs that a page sends: bounded in bytes while they come, in pixels before they are decoded."""

import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from PIL import Image

from dmix_core.errors import ImageError
from dmix_core.image_files import FORMATS, decode, eight_bit

from .errors import StudioError
from .limits import MOST_PHOTOGRAPHS, UPLOAD_PIXELS
from .tabs import Photograph, Tab


async def received(body: AsyncIterator[bytes], limit: int) -> bytes:
    """The body of a request.

    Raises:
        StudioError: it is larger than the limit, known before more of it is taken.
    """
    parts, length = [], 0
    async for part in body:
        length += len(part)
        if length > limit:
            raise StudioError(f"What was sent has more than {limit:,} bytes, which is the most.", 413)
        parts.append(part)
    return b"".join(parts)


def stored(tab: Tab, data: bytes, name: str) -> tuple[str, Photograph]:
    """Decode a photograph and keep it for a page, upright and without metadata; its id, and what is kept.

    Raises:
        StudioError: too many photographs, too many pixels, or a file that cannot be read.
    """
    if len(tab.photographs) >= MOST_PHOTOGRAPHS:
        raise StudioError(f"{MOST_PHOTOGRAPHS} photographs are here, which is the most of one page.", 429)
    tab.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = secrets.token_hex(8)
    sent, path = tab.folder / f"{key}.sent", tab.folder / f"{key}.png"
    try:
        sent.write_bytes(data)
        picture = _decoded(sent, name)
        picture.save(path, "PNG", compress_level=1)
    finally:
        sent.unlink(missing_ok=True)
    return key, Photograph(path, _safe(name), picture.size)


def _decoded(path: Path, name: str) -> Image.Image:
    try:
        _check_pixels(path)
        picture = eight_bit(decode(path), name, 3)
        return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    except ImageError as error:
        raise StudioError(str(error).replace(repr(str(path)), repr(name))) from error


def _check_pixels(path: Path) -> None:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
    except Exception:  # each decoder fails in its own way; `decode` has the words for it
        return
    if width * height > UPLOAD_PIXELS:
        raise StudioError(
            f"The photograph has {width}x{height} pixels; expected at most {UPLOAD_PIXELS:,} in all. Make it smaller, "
            "or cut out the part that is needed.",
            413,
        )


def _safe(name: str) -> str:
    """A file's name without its folders and suffix, as part of another file's."""
    stem = re.split(r"[/\\]", name)[-1].rpartition(".")[0] or name
    return re.sub(r"[^\w-]+", "-", stem)[:60].strip("-") or "photograph"
