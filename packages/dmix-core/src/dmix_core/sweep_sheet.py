"""The sheet of a sweep: a picture of every cell under the names of its settings, its figures below it."""

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from .images import to_picture, write_png
from .pictures import GAP, LINE, PAPER, TEXT, fit, overlay
from .sweep import Axis, Cell, Spread

INK = "black"
FIGURES = (("contrast", "edge"), ("grain", "seconds"))
"""The figures below a picture, line by line."""
DECIMALS = {"contrast": 1, "seconds": 2}
"""Of each figure; others have two."""


class SweepSheet:
    """The labelled grid of a sweep: feed it every cell, then ask for its `picture`.

    Columns are the last axis that varies, rows every combination of the others; what has one value stands in the title.
    A cell shows its first sample, plain and with the
    contours of its objects, and below it the means and standard deviations over all of its samples.

    Args:
        axes: those of the sweep.
        title: the beginning of a line above the grid.
    """

    def __init__(self, axes: Sequence[Axis], title: str = "") -> None:
        *others, self._across = [axis for axis in axes if len(axis.values) > 1] or axes
        fixed = [axis.label(axis.values[0]) for axis in axes if axis is not self._across and len(axis.values) == 1]
        self._rows = [_labels(others, values) for values in product(*(axis.values for axis in others))]
        self._title = ", ".join([title, *fixed] if title else fixed)
        self._tiles: list[Image.Image] = []

    def add(self, cell: Cell) -> None:
        """Keep what the picture needs of a cell."""
        self._tiles.append(_tile(cell))

    def picture(self) -> Image.Image:
        """The sheet, once the last cell has been added."""
        font = ImageFont.load_default(TEXT)
        columns = [self._across.label(value) for value in self._across.values]
        left = GAP + round(max(font.getlength(label) for row in self._rows for label in ("", *row))) + 2 * GAP
        top = GAP + LINE * (2 if self._title else 1)
        width, height = (2 * GAP + max(tile.size[axis] for tile in self._tiles) for axis in (0, 1))
        longest = GAP + math.ceil(font.getlength(self._title))
        across = max(left + len(columns) * width, longest)
        sheet = Image.new("RGB", (across, top + len(self._rows) * height), PAPER)
        draw = ImageDraw.Draw(sheet)
        draw.text((GAP, GAP), self._title, INK, font, "lt")
        for column, label in enumerate(columns):
            draw.text((left + (column + 0.5) * width, top - GAP), label, INK, font, "mb")
        for row, labels in enumerate(self._rows):
            middle = (GAP, top + row * height + fit_height(self._tiles) / 2)
            draw.multiline_text(middle, "\n".join(labels), INK, font, "lm")
        for number, tile in enumerate(self._tiles):
            row, column = divmod(number, len(columns))
            sheet.paste(tile, (left + column * width + (width - tile.width) // 2, top + row * height))
        return sheet

    def write(self, path: str | Path) -> Path:
        """Write the sheet as a PNG, whole or not at all.

        Raises:
            DmixError: the file cannot be written.
        """
        return write_png(path, self.picture())


def fit_height(tiles: Sequence[Image.Image]) -> int:
    """How much of the tiles' height is picture, not text."""
    return max(tile.height for tile in tiles) - len(FIGURES) * LINE


def _labels(axes: Sequence[Axis], values: Sequence[Any]) -> list[str]:
    return [axis.label(value) for axis, value in zip(axes, values, strict=True)]


def _tile(cell: Cell) -> Image.Image:
    """The first sample, plain and with its contours, above the figures of all."""
    first, font = cell.samples[0], ImageFont.load_default(TEXT)
    image = to_picture(first.image)
    plain, outlined = fit(image).convert("RGB"), fit(overlay(image, first.index))
    figures = cell.figures()
    lines = ["   ".join(_figure(name, figures[name]) for name in line) for line in FIGURES]
    across = 2 * plain.width + GAP // 2
    width = max(across, *(math.ceil(font.getlength(line)) for line in lines))
    tile = Image.new("RGB", (width, plain.height + len(lines) * LINE), PAPER)
    tile.paste(plain, ((width - across) // 2, 0))
    tile.paste(outlined, ((width - across) // 2 + plain.width + GAP // 2, 0))
    draw = ImageDraw.Draw(tile)
    for number, line in enumerate(lines):
        draw.text((width / 2, plain.height + GAP + number * LINE), line, INK, font, "mt")
    return tile


def _figure(name: str, spread: Spread) -> str:
    if spread.mean is None or spread.deviation is None:
        return f"{name} none"
    decimals = DECIMALS.get(name, 2)
    deviation = f" ± {spread.deviation:.{decimals}f}" if spread.number > 1 else ""
    return f"{name} {spread.mean:.{decimals}f}{deviation}"
