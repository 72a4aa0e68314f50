"""The strip of a denoising, as in the paper's Figure 2."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image

from .composer import Composer
from .images import to_picture, write_png
from .pictures import contact_sheet, fit, resized
from .step import Step

PERCENTAGES = (0, 50, 80, 89, 90, 95, 100)
"""Which percentages of the denoising a strip shows if none are asked for."""


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
        self._levels = dict(_column(percentage, composer.T, left) for percentage in percentages)
        self._end = "resampled"
        if composer.walk.count(0) == 1:
            self._end = "100 %"
            self._levels.pop(left[-1], None)
        self.restart()

    def restart(self) -> None:
        """Forget all steps, as before the first: the sample is drawn again."""
        self._wanted = self._levels.copy()
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
        tiles = [tile for row in zip(*columns.values(), strict=True) for tile in row]
        return contact_sheet(tiles, len(columns), [*columns], self._titles())

    def write(self, path: str | Path) -> Path:
        """Write the strip as a PNG, whole or not at all.

        Raises:
            DmixError: the file cannot be written.
        """
        return write_png(path, self.picture())

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


def _of_height(picture: Image.Image, height: int) -> Image.Image:
    return resized(picture, round(picture.width * height / picture.height), height)
