"""A generated set as it lies on disk: its samples one by one, each with its picture and the masks of its objects."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmix_core.errors import ImageError
from dmix_core.image_files import decode

from .arrays import Values
from .exceptions import DataError
from .generated_set import MANIFEST, ObjectEntry, SampleEntry, SetInfo, entries, read_info
from .masks import read_values
from .paths import inside


@dataclass(frozen=True)
class Shown:
    """An object that can be seen in a sample.

    Attributes:
        class_id: the place of its class among those of the set, from 0 on.
        mask: (H, W), the pixels in which it shows; not empty.
    """

    entry: ObjectEntry
    class_id: int
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class StoredSample:
    """One sample of a set; its files are read when they are asked for, and refused where they do not fit its entry."""

    source: "StoredSet"
    entry: SampleEntry

    @property
    def name(self) -> str:
        """What exported files are called, without a suffix."""
        return self.entry.image.removeprefix("images/").rpartition(".")[0].replace("/", "-")

    @property
    def image(self) -> Path:
        """The file of its picture.

        Raises:
            DataError: it is missing, or leads out of the set.
        """
        return self._file(self.entry.image)

    @property
    def mask(self) -> Path:
        """The file of its mask; errors as for `image`."""
        return self._file(self.entry.mask)

    def picture(self) -> Image.Image:
        """Its picture, grey or RGB.

        Raises:
            DataError, ImageError: the file is missing, damaged or of another size.
        """
        picture = decode(self.image)
        self._check_size(self.entry.image, picture.size)
        return picture

    @cached_property
    def values(self) -> Values:
        """Its mask (H, W): 0 where no object shows, and each object's value; errors as for `picture`."""
        values = read_values(self.mask)
        self._check_size(self.entry.mask, values.shape[::-1])
        return values

    @cached_property
    def shown(self) -> list[Shown]:
        """The objects that can be seen; errors as for `picture`.

        Raises:
            DataError: a class that the set does not name.
        """
        known = {name: number for number, name in enumerate(self.source.info.classes)}
        found = []
        for each in self.entry.objects:
            if each.class_name not in known:
                raise DataError(
                    f"Sample {self.entry.number} of {str(self.source.root)!r} shows the class {each.class_name!r}; "
                    f"expected one of those that its set.json names: {', '.join(known) or 'none'}."
                )
            mask = self.values == each.value
            if mask.any():
                found.append(Shown(each, known[each.class_name], mask))
        return found

    def _file(self, relative: str) -> Path:
        path = inside(self.source.root, relative, self.source.root / MANIFEST)
        if not path.is_file():
            raise DataError(
                f"{relative!r} of sample {self.entry.number} is missing in {str(self.source.root)!r}. "
                "Copy the set again, or make what is missing with `dmix generate --resume`."
            )
        return path

    def _check_size(self, relative: str, size: tuple[int, ...]) -> None:
        if size != (self.entry.width, self.entry.height):
            raise ImageError(
                f"{relative!r} in {str(self.source.root)!r} has {size[0]}x{size[1]} pixels; its manifest states "
                f"{self.entry.width}x{self.entry.height}. Make it again with `dmix generate --resume`."
            )


@dataclass(frozen=True)
class StoredSet:
    """A set's folder and what its samples share."""

    root: Path
    info: SetInfo

    @classmethod
    def open(cls, folder: str | Path) -> "StoredSet":
        """The set in a folder.

        Raises:
            DataError: there is none, or its set.json is damaged.
        """
        root = Path(folder)
        if not (root / MANIFEST).is_file():
            raise DataError(f"{str(folder)!r} has no {MANIFEST}; expected a folder that `dmix generate` wrote.")
        return cls(root, read_info(root))

    def samples(self) -> Iterator[StoredSample]:
        """Its samples in the order of the manifest; errors as for `entries`."""
        return (StoredSample(self, entry) for entry in entries(self.root))

    def count(self) -> int:
        """How many samples it has, by the lines of its manifest."""
        with (self.root / MANIFEST).open("rb") as lines:
            return sum(1 for _ in lines)
