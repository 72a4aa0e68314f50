"""Pictures to look at: overlays, contact sheets, and the strip of a denoising, as in the paper's Figure 2.

Pixels are uint8 arrays, (H, W) or (H, W, 1) grey, (H, W, 3) RGB.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .composer import Composer, Step
from .images import PALETTE, to_uint8

Pixels = NDArray[np.uint8]

PERCENTAGES = (0, 50, 80, 89, 90, 95, 100)

LEGIBLE = 192  # pixels of a tile's shorter side
TINT = 0.3
GAP = 4
LINE = 18
TEXT = 13


def enlarge(pixels: Pixels, at_least: int = LEGIBLE) -> Pixels:
    """Repeat pixels a whole number of times until the shorter side has at least so many."""
    times = -(-at_least // min(pixels.shape[:2]))
    return pixels.repeat(times, axis=0).repeat(times, axis=1) if times > 1 else pixels


def overlay(image: Pixels, index: Pixels) -> Pixels:
    """The picture with every region but the bottom one tinted and outlined in its colour of the index palette.

    Args:
        image: enlarged if it is small, so that the outline stays thinner than the objects.
        index: (H, W), which region owns the pixel.

    Returns:
        (k H, k W, 3)
    """
    picture = _rgb(enlarge(image)).astype(np.float32)
    index = enlarge(index)
    for region in range(1, int(index.max()) + 1):
        mask, colour = index == region, np.array(PALETTE[region % len(PALETTE)])
        picture[mask] = (1 - TINT) * picture[mask] + TINT * colour
        picture[_outline(mask)] = colour
    return picture.round().astype(np.uint8)


def contact_sheet(
    tiles: Sequence[Pixels], columns: int, captions: Sequence[str] = (), titles: Sequence[str] = ()
) -> Pixels:
    """Tiles on white, row by row, each in a cell as large as the largest.

    Args:
        tiles: of any sizes; small ones are enlarged.
        captions: one for each tile, above it; a row without any takes no space for them.
        titles: one for each row, to the left.
    """
    pictures = [Image.fromarray(_rgb(enlarge(tile))) for tile in tiles]
    width, height = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    rows = [slice(start, start + columns) for start in range(0, len(tiles), columns)]
    heads = [LINE if any(captions[row]) else 0 for row in rows]
    font = ImageFont.load_default(TEXT)
    left = GAP + (round(max(map(font.getlength, titles))) + GAP if titles else 0)
    size = left + min(columns, len(tiles)) * (width + GAP), GAP + sum(heads) + len(rows) * (height + GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    y = GAP
    for number, (row, head) in enumerate(zip(rows, heads)):
        y += head
        for column, picture in enumerate(pictures[row]):
            sheet.paste(picture, (left + column * (width + GAP), y))
        for column, caption in enumerate(captions[row]):
            draw.text((left + column * (width + GAP) + width / 2, y - 2), caption, "black", font, "mb")
        if titles:
            draw.text((GAP, y + height / 2), titles[number], "black", font, "lm")
        y += height + GAP
    return np.asarray(sheet)


class DenoisingStrip:
    """How one sample came about: feed it every step of `composer.steps`, then ask for the `picture`.

    Rows: the bottom region's state, and the share of the canvas that it owns (white: all, before merging begins); then
    for each region above its state and the mask channel of that. Columns: the step that starts at the given percentage
    of the first descent, or at the nearest level below; the last one is always the finished picture. States are noisy:
    they are clamped to [-1, 1] to be shown.

    Args:
        composer: the one whose steps it will be fed.
        percentages: 0 is the first step, 100 the one into the clean image.
        row: which of the samples that are composed together.
    """

    def __init__(self, composer: Composer, percentages: Sequence[float] = PERCENTAGES, row: int = 0) -> None:
        self.regions, self.size, self.row = composer.regions, composer.size, row
        levels = (max(1, round(composer.T * (1 - percentage / 100))) for percentage in percentages)
        self._wanted = {level: f"{percentage:g} %" for level, percentage in zip(levels, percentages)}
        self._end = "resampled"
        if composer.walk.count(0) == 1:
            self._end = "100 %"
            self._wanted.pop(1, None)
        self._columns: dict[str, list[Pixels]] = {}

    def add(self, step: Step) -> None:
        """Keep what the picture needs of a step."""
        if step.s > step.t:
            return
        label = self._wanted.pop(step.t, None)
        if label:
            self._columns[label] = self._tiles(step)
        if step.s == 0 and step.merged is not None:
            finished = to_uint8(step.merged.canvas[self.row])
            self._last = [finished, *self._tiles(step)[1:]]

    def picture(self) -> Pixels:
        """The strip, once the last step has been added."""
        columns = self._columns | {self._end: self._last}
        tiles = [tile for row in zip(*columns.values()) for tile in row]
        captions = [*columns, *[""] * (len(tiles) - len(columns))]
        return contact_sheet(tiles, len(columns), captions, self._titles)

    @property
    def _titles(self) -> list[str]:
        bottom, *above = self.regions
        titles = [bottom.name, "its mask"]
        for region in above:
            titles += [region.name, "its mask"][: 1 + region.denoiser.spec.mask_channels]
        return titles

    def _tiles(self, step: Step) -> list[Pixels]:
        tiles = []
        for number, (region, states) in enumerate(zip(self.regions, step.states)):
            channels = region.denoiser.spec.image_channels
            state = states[self.row].clamp(-1, 1)
            tiles.append(to_uint8(state[:channels]))
            if number == 0:
                tiles.append(self._share_of_bottom(step))
            elif state.shape[0] > channels:
                tiles.append(to_uint8(state[channels:]))
        height = enlarge(tiles[0]).shape[0]
        return [_of_height(tile, height) for tile in tiles]

    def _share_of_bottom(self, step: Step) -> Pixels:
        share = torch.ones(1, *self.size) if step.merged is None else step.merged.weights[0, self.row]
        return to_uint8(share * 2 - 1)


def _rgb(pixels: Pixels) -> Pixels:
    grey = pixels.ndim == 2 or pixels.shape[2] == 1
    return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2) if grey else pixels


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask with a neighbour outside of it."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _of_height(pixels: Pixels, height: int) -> Pixels:
    """Resized to a height, aspect and pixels kept."""
    image = Image.fromarray(_rgb(pixels))
    return np.asarray(image.resize((round(image.width * height / image.height), height), Image.Resampling.NEAREST))
