"""Where a picture's mask comes from, and the objects that it shows under a rule."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dmix_core.errors import ImageError
from dmix_core.image_files import decode

from .arrays import Pixels, Values
from .mask_rules import parse


class Found(NamedTuple):
    """What a mask shows of one class.

    Attributes:
        class_name: None where the mask has no classes.
        mask: (H, W) uint8, 255 where the object is.
        whole: this is one object, however many parts it has; otherwise each connected part is one.
    """

    class_name: str | None
    mask: Pixels
    whole: bool = False


class MaskSource(Protocol):
    """Where a picture's mask comes from."""

    @property
    def rule(self) -> str:
        """How the source is read, as it is stored beside crops."""
        ...

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def class_names(self) -> frozenset[str] | None:
        """The classes that it shows; None where that is not known before it is read."""
        ...

    def read(self) -> list[Found]: ...


@dataclass(frozen=True)
class MaskFile:
    """A picture file as a mask.

    Attributes:
        rule: "threshold:N" (values above N are the object), "nonzero", "index:N" (values equal to N; of a palette
            picture, the index and not the colour), "index:{8: car, 9: pedestrian}" (a class for each value) or
            "instance16:{26: car}" (value = 256 * class + number of the object, 0 for none).
    """

    path: Path
    rule: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def class_names(self) -> None:
        return None

    def values(self) -> Values:
        return read_values(self.path)

    def read(self) -> list[Found]:
        return divide(self.values(), self.rule)


@dataclass(frozen=True)
class NumberedObjects:
    """A picture file in which every object has a value of its own.

    Attributes:
        classes: (value, class) of each object; other values are none.
    """

    path: Path
    classes: tuple[tuple[int, str], ...]
    rule: str = "a value for each object"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def class_names(self) -> frozenset[str]:
        return frozenset(name for _, name in self.classes)

    def read(self) -> list[Found]:
        values = read_values(self.path)
        return [Found(name, _mask(values == value), whole=True) for value, name in self.classes]


@dataclass(frozen=True)
class Alpha:
    """The alpha channel of the picture itself as the mask of one whole object."""

    path: Path
    rule: str = "alpha"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def class_names(self) -> None:
        return None

    def read(self) -> list[Found]:
        picture = decode(self.path)
        if not picture.has_transparency_data:
            raise ImageError(f"{str(self.path)!r} has no alpha channel; expected the object's mask there.")
        return [Found(None, np.asarray(picture.convert("RGBA").getchannel("A")), whole=True)]


def divide(values: Values, rule: str) -> list[Found]:
    """The objects of a mask under a rule; of rules that name classes, only those that occur."""
    kind, number, names = parse(rule)
    if kind == "index" and names:
        return [Found(name, _mask(values == value)) for value, name in names.items() if (values == value).any()]
    if kind == "instance16":
        wanted = [int(value) for value in np.unique(values) if value % 256 and value // 256 in names]
        return [Found(names[value // 256], _mask(values == value), whole=True) for value in wanted]
    return [Found(None, _mask(values == number if kind == "index" else values > number))]


def apply_rule(values: Values, rule: str) -> NDArray[np.bool_]:
    """The pixels of a mask that a rule calls an object of any class."""
    masks = [found.mask > 0 for found in divide(values, rule)]
    return np.any([np.zeros(values.shape, bool), *masks], axis=0)


def read_values(path: Path) -> Values:
    """The values of a mask file (H, W), as they are stored.

    Raises:
        ImageError: it cannot be read, or has several channels that differ.
    """
    image = decode(path)
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    if image.mode == "RGB" and (values == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise ImageError(
            f"The mask {str(path)!r} has Pillow's mode {image.mode!r}; expected one channel: "
            "grey, palette or black and white. Save it as a grey PNG."
        )
    return values.astype(np.int64)


def _mask(inside: NDArray[np.bool_]) -> Pixels:
    return 255 * inside.astype(np.uint8)
