"""The folder of a composing run: what is written where."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dmix_core.composer import Composer
from dmix_core.composition import Composition, RegionResult
from dmix_core.files import writable_folder
from dmix_core.images import index_picture, to_picture, write_png
from dmix_core.pictures import contact_sheet, fit, overlay
from dmix_core.protocols import Exporter, Region, attribute
from dmix_core.quality import visibility
from dmix_core.recipe import Recipe
from dmix_core.region import canvas_spec

FOLDERS = ("images", "masks", "overlays", "amodal")
FILES = ("recipe.json", "sheet.png", "strip.png")
SHEET_COLUMNS, SHEET_SAMPLES = 8, 64

Record = dict[str, Any]


class Output:
    """Writes one run's files, batch by batch, and keeps a record of each sample.

    Raises:
        DmixError: the folder cannot be written to; known before anything is computed.
    """

    def __init__(self, folder: Path, recipe: Recipe, composer: Composer, exporters: Sequence[str]) -> None:
        self.folder, self.recipe, self.exporters = folder, recipe, exporters
        self.grey = all(is_grey(region) for region in composer.regions)
        self.digits = max(4, len(str(max(recipe.samples))))
        self.records: list[Record] = []
        self._tiles: list[tuple[Image.Image, ...]] = []
        self._compositions: list[Composition] = []
        for name in [".", *FOLDERS, *map(_folder_of, exporters)]:
            writable_folder(folder / name)

    def add(self, numbers: Iterable[int], composition: Composition) -> None:
        """Write every sample of a batch."""
        seen = [visibility(composition.image, region.visible) for region in composition.regions[1:]]
        if self.exporters:
            self._compositions.append(composition)
        for row, number in enumerate(numbers):
            shown = [{name: _number(values[row]) for name, values in each._asdict().items()} for each in seen]
            self._add_sample(number, composition, row, shown)

    def _add_sample(self, number: int, composition: Composition, row: int, shown: Sequence[Record]) -> None:
        name = f"{number:0{self.digits}d}"
        picture = to_picture(composition.image[row], grey=self.grey)
        mask = index_picture(composition.index[row])
        tinted = overlay(picture, composition.index[row])
        record: Record = {"sample": number}
        for key, drawn in {"image": picture, "mask": mask, "overlay": tinted}.items():
            record[key] = write_png(self.folder / f"{key}s" / f"{name}.png", drawn)
        record["objects"] = [
            self._add_object(f"{name}-{i}", region, row) | seen
            for i, (region, seen) in enumerate(zip(composition.regions[1:], shown), 1)
        ]
        self.records.append(record)
        if len(self._tiles) < SHEET_SAMPLES:
            self._tiles.append((fit(picture), fit(tinted), fit(mask)))

    def _add_object(self, name: str, region: RegionResult, row: int) -> Record:
        path = self.folder / "amodal" / f"{name}-{_safe(region.name)}.png"
        write_png(path, 255 * region.amodal[row].to(torch.uint8))
        box = region.boxes[row]
        return {"name": region.name, "amodal": path, "box": box and list(box)}

    def sheet(self) -> Path:
        """Write the first samples side by side: images, below them their overlays, below them their masks."""
        columns = min(SHEET_COLUMNS, len(self._tiles))
        tiles: list[Image.Image | None] = []
        captions: list[str] = []
        for start in range(0, len(self._tiles), columns):
            band = self._tiles[start : start + columns]
            empty = columns - len(band)
            for row, drawn in enumerate(zip(*band)):
                tiles += [*drawn, *[None] * empty]
                captions += [*self._captions(start, len(band), row), *[""] * empty]
        return write_png(self.folder / "sheet.png", contact_sheet(tiles, columns, captions))

    def _captions(self, start: int, count: int, row: int) -> list[str]:
        """Over images their numbers, over overlays their objects' contrasts."""
        records = self.records[start : start + count]
        if row == 0:
            return [str(record["sample"]) for record in records]
        if row == 1:
            contrasts = (", ".join(_rounded(seen["contrast"]) for seen in record["objects"]) for record in records)
            return [each and f"contrast {each}" for each in contrasts]
        return [""] * count

    def export(self, exporters: Iterable[Exporter]) -> list[Path]:
        """Hand the whole run to each exporter, with a folder of its own."""
        recipe = self.recipe.model_dump(mode="json")
        written: list[Path] = []
        for name, exporter in zip(self.exporters, exporters):
            written += exporter(_joined(self._compositions), self.folder / _folder_of(name), recipe)
        return written


def is_grey(region: Region) -> bool:
    """Whether all that it paints may be written as grey."""
    return canvas_spec(region).image_channels == 1 or bool(attribute(region.denoiser, "grey", False))


def _folder_of(exporter: str) -> str:
    """Its own name, unless what we write ourselves is called so, on file systems that do not tell cases apart too."""
    return f"{exporter}-export" if exporter.lower() in FOLDERS + FILES else exporter


def _safe(name: str) -> str:
    """A region's name as part of a file's; file systems allow 255 bytes for all of that."""
    return re.sub(r"[^\w.-]+", "_", name).encode()[:80].decode(errors="ignore")


def _joined(compositions: Sequence[Composition]) -> Composition:
    """The batches of a run as one."""
    regions = []
    for parts in zip(*(composition.regions for composition in compositions)):
        image, visible, amodal = map(torch.cat, zip(*((part.image, part.visible, part.amodal) for part in parts)))
        boxes = tuple(box for part in parts for box in part.boxes)
        regions.append(RegionResult(parts[0].name, image, visible, amodal, boxes))
    image = torch.cat([composition.image for composition in compositions])
    index = torch.cat([composition.index for composition in compositions])
    return Composition(image, index, tuple(regions))


def _number(value: Tensor) -> float | None:
    number = round(float(value), 3)
    return number if math.isfinite(number) else None


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
