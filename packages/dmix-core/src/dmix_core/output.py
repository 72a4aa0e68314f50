"""The pictures of a run: images, masks, overlays, amodal masks, and a sheet of the first samples."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from .exporters import ExportWriter, RunInfo
from .files import remove_temporaries, writable_folder
from .images import index_picture, to_picture, write_png
from .pictures import contact_sheet, fit, overlay
from .sample import Sample, SampleObject

FOLDERS = ("images", "masks", "overlays", "amodal")
SHEET = "sheet.png"
SHEET_COLUMNS, SHEET_SAMPLES = 8, 64


@dataclass(frozen=True)
class SampleFiles:
    """The files of one sample; `amodal` has one for each object."""

    image: Path
    mask: Path
    overlay: Path
    amodal: tuple[Path, ...]


class Pictures:
    """The exporter of the pictures that every run writes."""

    def open(self, folder: Path, run: RunInfo) -> "PicturesWriter":
        """A writer into this folder, which is made if it does not exist; files that a killed run left half written go.

        Raises:
            WriteError: the folder cannot be written to.
        """
        for name in (".", *FOLDERS):
            remove_temporaries(writable_folder(folder / name))
        return PicturesWriter(folder, run)


class PicturesWriter(ExportWriter):
    """Writes images/, masks/ (palette pictures of region numbers), overlays/, amodal/ (0 and 255), and sheet.png.

    The sheet shows up to 64 samples and is written where there are at least two.
    """

    def __init__(self, folder: Path, run: RunInfo) -> None:
        self.folder, self.run = folder, run
        self._sheet = Sheet()

    def add(self, sample: Sample) -> Sequence[Path]:
        files, drawn = self.files(sample.number), self.keep(sample)
        for path, picture in zip((files.image, files.overlay, files.mask), drawn, strict=True):
            write_png(path, picture)
        for path, each in zip(files.amodal, sample.objects, strict=True):
            write_png(path, 255 * each.amodal[None].to(torch.uint8))
        return [files.image, files.mask, files.overlay, *files.amodal]

    def keep(self, sample: Sample) -> tuple[Image.Image, Image.Image, Image.Image]:
        """Show a sample in the sheet, and return its image, overlay and mask."""
        picture, mask = to_picture(sample.image, grey=self.run.grey), index_picture(sample.index)
        drawn = picture, overlay(picture, sample.index), mask
        self._sheet.add(sample, *drawn)
        return drawn

    def files(self, number: int) -> SampleFiles:
        """Where the pictures of a sample are written."""
        name = self.run.file_name(number)
        image, mask, tinted = (self.folder / folder / name for folder in FOLDERS[:3])
        return SampleFiles(image, mask, tinted, tuple(self._amodal(number)))

    def remove(self, number: int) -> None:
        """Remove the pictures that an earlier run has written of a sample which this one leaves out."""
        files = self.files(number)
        for path in (files.image, files.mask, files.overlay, *files.amodal):
            path.unlink(missing_ok=True)

    def close(self) -> Sequence[Path]:
        return [write_png(self.folder / SHEET, self._sheet.picture())] if len(self._sheet) > 1 else []

    def _amodal(self, number: int) -> Sequence[Path]:
        stem = self.run.stem(number)
        names = (f"{stem}-{i}-{safe(name)}.png" for i, name in enumerate(self.run.regions[1:], 1))
        return [self.folder / "amodal" / name for name in names]


class Sheet:
    """The first samples side by side: images, below them their overlays, below them their masks."""

    def __init__(self) -> None:
        self._tiles: list[tuple[Image.Image, ...]] = []
        self._captions: list[tuple[str, ...]] = []

    def __len__(self) -> int:
        return len(self._tiles)

    def add(self, sample: Sample, *pictures: Image.Image) -> None:
        """Keep a sample's image, overlay and mask, if there is a place left for them."""
        if len(self) < SHEET_SAMPLES:
            self._tiles.append(tuple(map(fit, pictures)))
            self._captions.append((str(sample.number), _contrasts(sample.objects), ""))

    def picture(self) -> Image.Image:
        """The sheet: numbers over the images, the objects' contrasts over the overlays."""
        columns = min(SHEET_COLUMNS, len(self))
        tiles: list[Image.Image | None] = []
        captions: list[str] = []
        for start in range(0, len(self), columns):
            band = slice(start, start + columns)
            empty = columns - len(self._tiles[band])
            for drawn, written in zip(
                zip(*self._tiles[band], strict=True), zip(*self._captions[band], strict=True), strict=True
            ):
                tiles += [*drawn, *[None] * empty]
                captions += [*written, *[""] * empty]
        return contact_sheet(tiles, columns, captions)


def safe(name: str) -> str:
    """A region's name as part of a file's; file systems allow 255 bytes for all of that."""
    return re.sub(r"[^\w.-]+", "_", name).encode()[:80].decode(errors="ignore")


def _contrasts(objects: Sequence[SampleObject]) -> str:
    contrasts = (each.figures.contrast for each in objects)
    listed = ", ".join("-" if contrast is None else f"{contrast:.0f}" for contrast in contrasts)
    return listed and f"contrast {listed}"
