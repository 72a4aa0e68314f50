"""A variant: a composed picture with its masks and its record, as long as its tab keeps it."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dmix_core.composition import tight_box
from dmix_core.errors import ImageError
from dmix_core.geometry import Box
from dmix_core.images import as_image, index_picture, png_bytes
from dmix_core.sample import figures

from .errors import StudioError
from .scene import Scene

Index = NDArray[np.uint8]
CORRECTED = "mask-corrected-by-hand"
"""The flag of objects, and of samples, whose mask is not the one that was composed."""


@dataclass(eq=False)
class Variant:
    """A composed picture.

    Attributes:
        scene: what was asked for, its seed included, with references in its settings.
        references: of each id in the scene.
        facts: the worker's event, less its pictures.
        image: the PNG.
        mask: the PNG of the index, as composed or as corrected.
        twin: the PNG of the background without objects, once it is made.
        corrected: the values of objects whose masks were changed by hand.
    """

    id: str
    scene: Scene
    references: dict[str, str]
    facts: dict[str, Any]
    image: bytes = field(repr=False)
    mask: bytes = field(repr=False)
    twin: bytes | None = field(default=None, repr=False)
    kept: bool = False
    corrected: set[int] = field(default_factory=set)

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.image) + len(self.mask) + len(self.twin or b"") + len(self.facts["recipe"])

    def seen(self) -> dict[str, Any]:
        """What the page shows of it."""
        facts = {key: self.facts[key] for key in ("objects", "warnings", "command", "size")}
        own = {"id": self.id, "seed": self.scene.seed, "kept": self.kept, "twin": self.twin is not None}
        return facts | own | {"corrected": sorted(self.corrected)}

    def index(self) -> Index:
        """(H, W), the number of the object that owns the pixel, 0 for the background."""
        with Image.open(io.BytesIO(self.mask), formats=("PNG",)) as picture:
            return np.array(picture, np.uint8)

    def correct(self, index: Index) -> None:
        """Put another mask in the place of the one that it has; boxes and figures follow.

        Args:
            index: (H, W), values of objects.

        Raises:
            StudioError: it is of another size, or names an object that there is not.
        """
        before, count = self.index(), len(self.facts["objects"])
        if index.shape != before.shape or index.max(initial=0) > count:
            raise StudioError(
                f"The mask has {index.shape[1]}x{index.shape[0]} pixels and values to {index.max(initial=0)}; expected "
                f"{before.shape[1]}x{before.shape[0]} and values to {count}."
            )
        changed = {*np.unique(before[before != index]), *np.unique(index[before != index])} - {0}
        image = as_image(_opened(self.image))
        for value in sorted(map(int, changed)):
            self.facts["objects"][value - 1] |= _measured(image, index == value)
        self.corrected |= {int(value) for value in changed}
        self.mask = png_bytes(index_picture(torch.from_numpy(index)))


def _measured(image: torch.Tensor, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Box and figures of an object's pixels (H, W)."""
    shown = torch.from_numpy(mask)
    box = tight_box(shown)
    whole = Box(0, 0, mask.shape[1], mask.shape[0])
    return {"box": box and [*box], **figures(image, whole, shown, box)._asdict()}


def _opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        picture.load()
        return picture.copy()


def index_of(data: bytes) -> Index:
    """The mask that a page sends: the red channel of a PNG, or its values.

    Raises:
        StudioError: it is no such picture.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.mode not in ("L", "P", "RGB", "RGBA"):
                raise ImageError(f"its mode is {picture.mode}")
            return np.ascontiguousarray(np.array(picture, np.uint8).reshape(picture.height, picture.width, -1)[..., 0])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, ImageError) as error:
        raise StudioError(f"The mask cannot be read ({error}); expected a PNG of 8 bits.") from error
