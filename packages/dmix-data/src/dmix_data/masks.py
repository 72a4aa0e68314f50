"""Which values of a mask are the object: a rule that belongs to the data set, for no single one is right."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from dmix_core.errors import ImageError
from dmix_core.images import decode

from .files import DataError, Pixels

Values = NDArray[np.int64]


class Found(NamedTuple):
    """What a mask shows of one class.

    Attributes:
        class_name: None where the mask does not tell classes apart.
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

    def values(self) -> Values:
        return read_values(self.path)

    def read(self) -> list[Found]:
        return divide(self.values(), self.rule)


@dataclass(frozen=True)
class Alpha:
    """The alpha channel of the picture itself as the mask of one whole object."""

    path: Path
    rule: str = "alpha"

    @property
    def name(self) -> str:
        return self.path.name

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


class Rule(NamedTuple):
    kind: str
    number: int
    names: dict[int, str]


def parse(rule: str) -> Rule:
    """Take a rule apart.

    Raises:
        DataError: it is none.
    """
    if rule == "nonzero":
        return Rule(rule, 0, {})
    if match := re.fullmatch(r"(threshold|index):(\d+)", rule):
        return Rule(match[1], int(match[2]), {})
    if match := re.fullmatch(r"(index|instance16):\{(.+)\}", rule):
        pairs = [
            re.fullmatch(r"\s*(\d+)\s*:\s*([^\s,:][^,:]*?)\s*", pair) or _unknown(rule) for pair in match[2].split(",")
        ]
        return Rule(match[1], 0, {int(pair[1]): pair[2] for pair in pairs})
    return _unknown(rule)


def named(kind: str, names: dict[int, str]) -> str:
    """The rule that gives each value a class: named("index", {8: "car"}) is "index:{8: car}"."""
    return f"{kind}:{{{', '.join(f'{value}: {name}' for value, name in names.items())}}}"


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


def _unknown(rule: str) -> NoReturn:
    raise DataError(
        f"Unknown mask rule {rule!r}; expected 'threshold:127' (values above 127), 'nonzero', 'index:8', "
        "'index:{8: car, 9: person}' or 'instance16:{26: car}'."
    )
