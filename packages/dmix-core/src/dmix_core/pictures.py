"""Pictures to look at: overlays, contact sheets, and the strip of a denoising, as in the paper's Figure 2."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .composer import Composer, Step
from .images import PALETTE, to_picture

PERCENTAGES = (0, 50, 80, 89, 90, 95, 100)

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
    return _resized(picture, round(scale * picture.width), round(scale * picture.height))


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
    for number, (row, head) in enumerate(zip(rows, heads)):
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


class DenoisingStrip:
    """How one sample came about: feed it every step of `composer.steps`, then ask for its `picture`.

    Rows: the bottom region's state and the share of the canvas that it owns, white before merging begins; then for
    each region above its state and the mask channel of that. Columns: the step of the first descent that starts at the
    given percentage or, where levels are left out, nearest to it, and last of all the finished picture. States are
    noisy: to be shown they are clamped to [-1, 1].

    Args:
        composer: the one whose steps it will be fed.
        percentages: 0 is the first step, 100 the one into the clean image.
        row: which of the samples that are composed together.
    """

    def __init__(self, composer: Composer, percentages: Sequence[float] = PERCENTAGES, row: int = 0) -> None:
        self.regions, self.size, self.row = composer.regions, composer.size, row
        first = composer.walk[: composer.walk.index(0) + 1]
        left = [t for t, s in pairwise(first) if s < t]
        self._wanted = dict(_column(percentage, composer.T, left) for percentage in percentages)
        self._end = "resampled"
        if composer.walk.count(0) == 1:
            self._end = "100 %"
            self._wanted.pop(left[-1], None)
        self._columns: dict[str, list[Image.Image]] = {}
        self._finished: list[Image.Image] = []

    def add(self, step: Step) -> None:
        """Keep what the picture needs of a step."""
        if step.s > step.t:
            return
        if label := self._wanted.pop(step.t, None):
            self._columns[label] = self._tiles(step)
        if step.s == 0 and step.merged is not None:
            canvas = fit(to_picture(step.merged.canvas[self.row]))
            self._finished = [canvas, *self._tiles(step)[1:]]

    def picture(self) -> Image.Image:
        """The strip, once the last step has been added."""
        columns = self._columns | {self._end: self._finished}
        tiles = [tile for row in zip(*columns.values()) for tile in row]
        return contact_sheet(tiles, len(columns), [*columns], self._titles())

    def _titles(self) -> list[str]:
        bottom, *above = self.regions
        titles = [bottom.name, "its mask"]
        for region in above:
            titles += [region.name, "its mask"][: 1 + region.denoiser.spec.mask_channels]
        return titles

    def _tiles(self, step: Step) -> list[Image.Image]:
        (background, *_), *above = [self._split(number, step) for number in range(len(self.regions))]
        background = fit(background)
        tiles = [self._share_of_bottom(step), *(tile for tiles in above for tile in tiles)]
        return [background, *(_of_height(tile, background.height) for tile in tiles)]

    def _split(self, number: int, step: Step) -> list[Image.Image]:
        """A region's state as a picture, latents by their first channels, and its mask channel as another."""
        state = step.states[number][self.row]
        channels = self.regions[number].denoiser.spec.image_channels
        shown = state[: 3 if channels >= 3 else 1]
        return [to_picture(part) for part in (shown, state[channels:]) if len(part)]

    def _share_of_bottom(self, step: Step) -> Image.Image:
        share = torch.ones(1, *self.size) if step.merged is None else step.merged.weights[0, self.row]
        return to_picture(2 * share - 1)


def _column(percentage: float, steps: int, left: Sequence[int]) -> tuple[int, str]:
    """Which of the levels that a descent leaves shows this percentage of it, and its caption."""
    wanted = max(1, round(steps * (1 - percentage / 100)))
    level = min(left, key=lambda level: abs(level - wanted))
    return level, f"{percentage if level == wanted else round(100 * (1 - level / steps), 1):g} %"


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbour outside of it."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _of_height(picture: Image.Image, height: int) -> Image.Image:
    return _resized(picture, round(picture.width * height / picture.height), height)


def _resized(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Enlarged by repeating pixels, shrunk by their means over areas."""
    if height >= picture.height:
        return picture.resize((width, height), Image.Resampling.NEAREST)
    colours = picture.convert("RGB") if picture.mode == "P" else picture  # indices have no mean
    return colours.resize((width, height), Image.Resampling.BOX)
