"""Pictures to look at: overlays and contact sheets."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .images import PALETTE, to_picture

LEGIBLE, HANDY = 192, 384  # the least and the most pixels of a tile's shorter side
TINT = 0.3  # the share of the colour
PAPER = (225, 225, 225)  # white and black tiles both stand out
GAP, LINE, TEXT = 4, 18, 13  # pixels between tiles, of a line of text, of its letters


def enlarge(picture: Image.Image, at_least: int = LEGIBLE) -> Image.Image:
    """Repeat pixels a whole number of times, so that the shorter side has at least so many."""
    times = -(-at_least // min(picture.size))
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def fit(picture: Image.Image, at_most: int = HANDY) -> Image.Image:
    """A tile for a sheet: small pictures are enlarged, the shorter side of large ones is shrunk to so many pixels."""
    if min(picture.size) <= at_most:
        return enlarge(picture)
    scale = at_most / min(picture.size)
    return resized(picture, round(scale * picture.width), round(scale * picture.height))


def overlay(picture: Tensor | Image.Image, index: Tensor) -> Image.Image:
    """A picture with every region but the bottom one tinted and outlined in its colour of the index palette.

    Args:
        picture: or an image as for `to_picture`; enlarged if it is small, so that outlines stay thin beside objects.
        index: (H, W) uint8, which region owns the pixel.
    """
    if isinstance(picture, Tensor):
        picture = to_picture(picture)
    pixels = np.asarray(enlarge(picture).convert("RGB")).astype(np.float32)
    owners = np.asarray(enlarge(to_picture(index[None])))
    for region in range(1, int(index.max()) + 1):
        mask, colour = owners == region, np.array(PALETTE[region])
        pixels[mask] = (1 - TINT) * pixels[mask] + TINT * colour
        pixels[_outline(mask)] = colour
    return Image.fromarray(pixels.round().astype(np.uint8))


def contact_sheet(
    tiles: Sequence[Image.Image | None], columns: int, captions: Sequence[str] = (), titles: Sequence[str] = ()
) -> Image.Image:
    """Tiles row by row, each in a cell as large as the largest; `fit` them first.

    Args:
        tiles: None leaves a cell empty.
        captions: one for each of the first tiles, above it; a row without any takes no space for them.
        titles: one for each row, to the left.
    """
    font = ImageFont.load_default(TEXT)
    width, height = (GAP + max(tile.size[axis] for tile in tiles if tile) for axis in (0, 1))
    rows = [range(start, min(start + columns, len(tiles))) for start in range(0, len(tiles), columns)]
    captions = [*captions, *[""] * (len(tiles) - len(captions))]
    heads = [LINE if any(captions[i] for i in row) else 0 for row in rows]
    left = GAP + round(max(map(font.getlength, titles)) + GAP if titles else 0)

    sheet = Image.new("RGB", (left + len(rows[0]) * width, GAP + sum(heads) + len(rows) * height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = GAP
    for number, (row, head) in enumerate(zip(rows, heads, strict=True)):
        y += head
        for column, i in enumerate(row):
            x = left + column * width
            if tile := tiles[i]:
                sheet.paste(tile, (x, y))
            if captions[i]:
                draw.text((x + width / 2, y - GAP / 2), captions[i], "black", font, "mb")
        if titles:
            draw.text((GAP, y + height / 2), titles[number], "black", font, "lm")
        y += height
    return sheet


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbour outside of it."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def resized(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Enlarged by repeating pixels, shrunk by their means over areas."""
    if height >= picture.height:
        return picture.resize((width, height), Image.Resampling.NEAREST)
    colours = picture.convert("RGB") if picture.mode == "P" else picture  # indices have no mean
    return colours.resize((width, height), Image.Resampling.BOX)
