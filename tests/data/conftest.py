"""Folders of small files, laid out like data sets."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


class Tree:
    """A folder of small files, to be laid out like a data set."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, name: str, array, **options) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(array)).save(path, **options)
        return path

    def picture(self, name: str, height=40, width=50, seed=0) -> Path:
        """A picture of noise; another seed is another picture."""
        return self.save(name, np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))

    def mask(self, name: str, value=255, at=(10, 20, 6, 5), height=40, width=50, dtype=np.uint8) -> Path:
        """A mask with a rectangle of one value at (y, x, height, width)."""
        mask = np.zeros((height, width), dtype)
        mask[at[0] : at[0] + at[2], at[1] : at[1] + at[3]] = value
        return self.save(name, mask)

    def text(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path / "data")
