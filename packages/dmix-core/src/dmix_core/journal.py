"""samples.jsonl: which samples of a run are finished, and these read back from their files.

A line is written once all files of its sample are, so that a run that was ended can go on: what has a line and files of
the checksums that it states is finished, and all else is made again.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ValidationError
from torch import Tensor

from .errors import ImageError, RecipeError
from .files import write_atomically
from .geometry import Box
from .images import read_image
from .output import PicturesWriter
from .recipe import SELECTION, Recipe, changes
from .sample import Figures, Provenance, Sample, SampleObject

JOURNAL = "samples.jsonl"


class ObjectLine(BaseModel):
    """What a line has of an object: its name, its box (x, y, width, height), and its figures."""

    name: str
    box: tuple[int, int, int, int] | None
    contrast: float | None
    edge: float | None
    grain: float | None


class Line(BaseModel):
    """A line of samples.jsonl; `sha256` has the checksum of each of the sample's files, relative to the folder."""

    sample: int
    objects: tuple[ObjectLine, ...]
    sha256: dict[str, str]


class Journal:
    """The finished samples of a run's folder, a line of JSON each: number, objects, and sha256 of each file.

    Args:
        pictures: the writer of the folder's pictures.
        numbers: the run's samples, in their order.
    """

    def __init__(self, pictures: PicturesWriter, numbers: Sequence[int]) -> None:
        self.pictures, self.numbers = pictures, dict.fromkeys(numbers)
        self.path = pictures.folder / JOURNAL
        self.finished: dict[int, Line] = {}

    def start(self, resume: bool) -> None:
        """Begin it anew, or keep the lines of samples whose files are as they were written."""
        lines = read_lines(self.path) if resume else []
        self.finished = {line.sample: line for line in lines if line.sample in self.numbers and self._is_whole(line)}
        self._write()

    def add(self, sample: Sample) -> None:
        """State that all files of a sample are written."""
        digests = {self._name(path): _sha256(path) for path in self._files(sample.number)}
        line = Line.model_validate(sample.facts() | {"sha256": digests})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Bring the lines into the run's order, where some were kept from an earlier start."""
        if self.finished:
            self.finished = {line.sample: line for line in read_lines(self.path)}
            self._write()

    def sample(self, number: int, made: Provenance) -> Sample:
        """A finished sample, read from its files; its image has the 256 levels of a file."""
        files, objects = self.pictures.files(number), self.finished[number].objects
        index = _index(files.mask)
        wholes = [read_image(path, 1)[0] > 0 for path in files.amodal]
        made_of = zip(objects, wholes, strict=True)
        shown = tuple(_object(line, index, place, whole) for place, (line, whole) in enumerate(made_of, 1))
        return Sample(number, read_image(files.image), index, shown, made)

    def _write(self) -> None:
        lines = (self.finished[number].model_dump_json() for number in self.numbers if number in self.finished)
        write_atomically(self.path, "".join(f"{line}\n" for line in lines).encode())

    def _is_whole(self, line: Line) -> bool:
        return all(line.sha256.get(self._name(path)) == _sha256(path) for path in self._files(line.sample))

    def _files(self, number: int) -> list[Path]:
        files = self.pictures.files(number)
        return [files.image, files.mask, files.overlay, *files.amodal]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.pictures.folder).as_posix()


def read_lines(path: Path) -> list[Line]:
    """The lines of a journal; one that was torn by a kill is left out."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [line for line in map(_line, lines) if line]


def resumed(folder: Path, then: Recipe, now: Recipe) -> Recipe:
    """The recipe that goes on with what a folder has, with the samples drawn again and left out so far.

    Raises:
        RecipeError: the recipes differ, or the versions, weights or threads that they were made with.
    """
    fields = [name for name in Recipe.model_fields if name not in {"made_with", *SELECTION}]
    differing = [f"{name} differs" for name in fields if getattr(then, name) != getattr(now, name)]
    if differences := [*differing, *changes(then.made_with, now.made_with)]:
        raise RecipeError(
            f"Cannot go on with the run in {str(folder)!r}: {'; '.join(differences)}. "
            "Expected the recipe, versions and threads that it was begun with; write into another folder."
        )
    return now.model_copy(update={name: getattr(then, name) for name in SELECTION})


def _sha256(path: Path) -> str:
    """Of a file; "" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _line(text: str) -> Line | None:
    with suppress(ValidationError):
        return Line.model_validate_json(text)
    return None


def _index(path: Path) -> Tensor:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return torch.from_numpy(np.array(picture, dtype=np.uint8))
    except OSError as error:
        raise ImageError(f"Cannot read the mask {str(path)!r} ({error}).") from error


def _object(line: ObjectLine, index: Tensor, place: int, whole: Tensor) -> SampleObject:
    height, width = index.shape
    window, box = Box(0, 0, width, height), line.box and Box(*line.box)
    figures = Figures(line.contrast, line.edge, line.grain)
    return SampleObject(line.name, (height, width), window, index == place, whole, box, figures)
