"""Sets as torch datasets: a generated set, real pictures in any layout, and both at a ratio."""

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from .exceptions import DataError
from .generated_set import MANIFEST, SampleEntry, entries
from .loader import Picture
from .objects import box_of, objects_of
from .options import DataOptions, Part
from .readers import read_pairs
from .stored_set import StoredSample, StoredSet


class Item(NamedTuple):
    """A picture with its labels.

    Attributes:
        image: (3, H, W) float32 in [0, 1], grey ones copied to three channels.
        mask: (H, W) int64, the class of each pixel from 1 on, 0 for none.
        boxes: (N, 4) float32, the tight boxes as x1, y1, x2, y2, of which the last two are the first outside.
        labels: (N,) int64, the class of each box from 1 on.
    """

    image: Tensor
    mask: Tensor
    boxes: Tensor
    labels: Tensor


class ManifestDataset(Dataset[Item]):
    """The samples of a generated set; of a manifest of any length, only where the lines begin is kept in memory.

    Args:
        folder: of the set.
        split: the part of it, or "all".

    Raises:
        DataError: no set, a damaged line, or no sample in this part.
    """

    def __init__(self, folder: str | Path, split: Part = "train") -> None:
        self.source = StoredSet.open(folder)
        self._starts = array("q", _starts(self.source.root, split))
        if not self._starts:
            raise DataError(f"{str(folder)!r} has no sample in the part {split!r}; expected some. Try split='all'.")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels 1, 2, ..."""
        return self.source.info.classes

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> Item:
        with (self.source.root / MANIFEST).open("rb") as lines:
            lines.seek(self._starts[number])
            entry = SampleEntry.model_validate_json(lines.readline())
        sample = StoredSample(self.source, entry)
        pixels = np.asarray(sample.picture().convert("RGB"))
        return _item(pixels, [(each.class_id + 1, each.mask) for each in sample.shown])


class PairsDataset(Dataset[Item]):
    """Real pictures with masks, in any layout that `read_pairs` reads.

    Args:
        classes: the names of the labels 1, 2, ...; objects of others are refused.
        options: how the folder is read, and which parts of a mask are objects.

    Raises:
        DataError, ImageError: as for `read_pairs`, or a class that is none of these.
    """

    def __init__(self, folder: str | Path, classes: Sequence[str], options: DataOptions | None = None) -> None:
        self.options = options or DataOptions()
        self._labels = {name: number for number, name in enumerate(classes, 1)}
        self._pictures = read_pairs(folder, self.options)
        strange = sorted({str(each.class_name) for each in self._pictures} - self._labels.keys())
        if strange:
            raise DataError(
                f"{str(folder)!r} shows the class {strange[0]!r}; expected one of: {', '.join(classes)}. "
                "Name all classes, or choose some of them by the option classes."
            )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, number: int) -> Item:
        picture: Picture = self._pictures[number]
        found, label = objects_of(picture, self.options), self._labels[str(picture.class_name)]
        pixels = np.broadcast_to(picture.pixels, (*picture.pixels.shape[:2], 3))
        return _item(pixels, [(label, found.labels == each) for each in found.numbers])


class Mixed(Dataset[Item]):
    """All real items, and synthetic ones at a ratio: in a drawn order, and again from its start where there are fewer.

    Args:
        ratio: of synthetic items to real ones, 0 or more.
        seed: draws the order.
    """

    def __init__(self, real: Dataset[Item], synthetic: Dataset[Item], ratio: float, seed: int = 0) -> None:
        if not 0 <= ratio < float("inf"):
            raise DataError(f"The ratio of synthetic to real items is {ratio}; expected 0 or more, such as 0.5.")
        self.real, self.synthetic = real, synthetic
        self._count = round(ratio * len(real))  # type: ignore[arg-type]
        self._order = np.random.default_rng(seed).permutation(len(synthetic))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.real) + self._count  # type: ignore[arg-type]

    def __getitem__(self, number: int) -> Item:
        if not 0 <= number < len(self):
            raise IndexError(f"item {number} of {len(self)}")
        beyond = number - len(self.real)  # type: ignore[arg-type]
        if beyond < 0:
            return self.real[number]
        return self.synthetic[int(self._order[beyond % len(self._order)])]


def _starts(root: Path, split: Part) -> list[int]:
    """Where the lines of a part begin in a manifest, in bytes."""
    with (root / MANIFEST).open("rb") as lines:
        lengths = [len(line) for line in lines]
    starts = np.cumsum([0, *lengths]).tolist()
    return [start for start, entry in zip(starts, entries(root), strict=False) if split in ("all", entry.split)]


def _item(pixels: NDArray[np.uint8], objects: Sequence[tuple[int, NDArray[np.bool_]]]) -> Item:
    mask = torch.zeros(pixels.shape[:2], dtype=torch.int64)
    for label, shown in objects:
        mask[torch.from_numpy(shown)] = label
    boxes = [box_of(shown) for _, shown in objects]
    corners = [(x, y, x + width, y + height) for x, y, width, height in boxes]
    return Item(
        torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255,
        mask,
        torch.tensor(corners, dtype=torch.float32).reshape(-1, 4),
        torch.tensor([label for label, _ in objects], dtype=torch.int64),
    )
