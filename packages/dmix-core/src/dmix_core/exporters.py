"""What writes the samples of a run in some format, one by one.

    with exporter.open(folder, run) as writer:
        for sample in samples:
            writer.add(sample)

A run's folder has the pictures in images/, masks/, overlays/ and amodal/; each exporter writes into a folder of its own
beside these, so that for its own files the picture of a sample lies at `Path("..", "images", run.file_name(number))`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from .protocols import Size
from .sample import Sample


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run before its first sample.

    Attributes:
        size: (H, W) of every image.
        regions: the names of its regions from bottom to top; a sample's index numbers them.
        samples: the numbers of its samples, in the order in which they come; some of them may be left out.
        grey: whether images are written as grey pictures.
        recipe: the content of recipe.json, less what is not known beforehand: draws, which samples have themselves, and
            what is left out. Empty for a composition that was made without a recipe.
    """

    size: Size
    regions: tuple[str, ...]
    samples: Sequence[int]
    grey: bool = False
    recipe: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def file_name(self, number: int) -> str:
        """The name of the files of one sample in images/, masks/ and overlays/, such as 0012.png."""
        return f"{self.stem(number)}.png"

    def stem(self, number: int) -> str:
        """The sample's number with leading zeros: four digits, or as many as the largest number needs."""
        return f"{number:0{max(4, len(str(max(self.samples))))}d}"


class ExportWriter(ABC):
    """Writes samples as they come and keeps none of them; as a context manager it closes itself.

    What it keeps for the end (such as an index of boxes) is small beside an image, and is written by `close`.
    """

    @abstractmethod
    def add(self, sample: Sample) -> Sequence[Path]:
        """Write one sample, and return the paths of the files that were finished by it."""

    @abstractmethod
    def close(self) -> Sequence[Path]:
        """Write what remains once the last sample was added, and return the paths of these files. Called once."""

    def discard(self) -> None:  # noqa: B027 - most writers have nothing open
        """Release what is open after a failure, without finishing it; called in the place of `close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


class Exporter(Protocol):
    """Writes the samples of a run in some format. It may be asked for several writers, one after another."""

    def open(self, folder: Path, run: RunInfo) -> ExportWriter:
        """A writer into a folder that exists and is its own; see the module's text for where the pictures lie."""
        ...
