"""Pictures with their masks, read one by one; those that do not fit into the memory are read again."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmix_core.errors import ImageError
from dmix_core.image_files import decode, is_turned
from dmix_core.image_files import read_pixels as image_pixels

from .arrays import Pixels
from .exceptions import DataError
from .layouts.base import Record
from .masks import Alpha, Found
from .memory import Recent, Stored, digest_of, now, packed, read
from .options import OnError

THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture: pixels (H, W, 1) uint8 if grey, (H, W, 3) otherwise.

    Attributes:
        path: the file that it came from.
        stored_pixels, stored_mask, stored_objects: `pixels`, `mask` and `objects`, or how to have them again.
        class_name: of its objects; None where the data set names none.
        source: where its data set has it; None for a picture that came from elsewhere.
    """

    path: Path
    stored_pixels: Stored
    stored_mask: Stored | None = None
    stored_objects: Stored | None = None
    class_name: str | None = None
    source: Record | None = None

    @property
    def pixels(self) -> Pixels:
        return now(self.stored_pixels)

    @property
    def mask(self) -> Pixels | None:
        """(H, W) uint8, 255 where objects are; None without a mask."""
        return None if self.stored_mask is None else now(self.stored_mask)

    @property
    def objects(self) -> NDArray[np.integer] | None:
        """(H, W), the number 1, 2, ... of the object that owns the pixel, 0 for none; None: each connected part of
        the mask is an object.
        """
        return None if self.stored_objects is None else now(self.stored_objects)

    @property
    def digest(self) -> bytes:
        """Of all that can be learned from it, as it was read."""
        stored = (self.stored_pixels, self.stored_mask, self.stored_objects)
        digests = [b"none" if each is None else digest_of(each) for each in stored]
        return blake2b(b" ".join([*digests, str(self.class_name).encode()]), digest_size=16).digest()

    @property
    def grey(self) -> bool:
        return self.stored_pixels.shape[2] == 1

    @property
    def size(self) -> tuple[int, int]:
        return self.stored_pixels.shape[0], self.stored_pixels.shape[1]

    @property
    def group(self) -> str:
        """Pictures of one thing share it; a picture that stands alone has its own."""
        return str(self.path) if self.source is None else self.source.group_name


class LeftOut(NamedTuple):
    """A file that was left out, and why.

    Attributes:
        kind: the reason in a few words, as they are counted.
    """

    path: Path
    why: str
    kind: str


class Pictures(list[Picture]):
    """Pictures, and the files that were left out."""

    def __init__(self, pictures: Iterable[Picture] = (), left_out: Iterable[LeftOut] = ()) -> None:
        super().__init__(pictures)
        self.left_out = [*left_out]


def reasons(pictures: Sequence[Picture]) -> dict[str, int]:
    """How many files were left out for which reason."""
    return dict(Counter(left.kind for left in getattr(pictures, "left_out", ())))


# ---- reading ------------------------------------------------------------------------------------------------


Reader = Callable[[Record, Recent], list[Picture]]


def load(records: Sequence[Record], reader: Reader, on_error: OnError = "fail") -> Pictures:
    """Read records, several at a time; with "skip", failures are kept beside what could be read.

    Raises:
        DataError: nothing could be read, or pictures and masks that do not fit.
        ImageError: a file that cannot be read.
    """
    recent = Recent()

    def attempt(record: Record) -> list[Picture] | DataError | ImageError:
        try:
            return reader(record, recent)
        except (DataError, ImageError) as error:
            return error

    loaded = Pictures()
    with ThreadPoolExecutor(THREADS) as pool:
        for record, result in zip(records, pool.map(attempt, records), strict=True):
            if isinstance(result, list):
                loaded.extend(result)
            elif on_error == "skip":
                kind = "cannot be read" if isinstance(result, ImageError) else "does not fit its mask"
                loaded.left_out.append(LeftOut(record.image, str(result), kind))
            else:
                pool.shutdown(cancel_futures=True)
                raise type(result)(f"{result} Or leave such files out with on_error 'skip'.") from result
    if loaded.left_out and not loaded:
        raise DataError(f"None of {len(loaded.left_out)} pictures can be used. The first: {loaded.left_out[0].why}")
    return loaded


def pictures_of(record: Record, recent: Recent | None = None) -> list[Picture]:
    """A record's picture with its mask, once for each class that the mask shows."""
    return with_mask(picture_of(record, recent), record, recent)


def picture_of(record: Record, recent: Recent | None = None) -> Picture:
    """A record's picture without its mask; in memory, or kept in `recent`."""
    reader = partial(_opaque if isinstance(record.mask, Alpha) else read_pixels, record.image)
    pixels = reader() if recent is None else read(reader, str(record.image), recent)
    return Picture(record.image, pixels, class_name=record.class_name, source=record)


def with_mask(picture: Picture, record: Record, recent: Recent | None = None) -> list[Picture]:
    """A picture with its record's mask, once for each class that the mask shows."""
    found = record.mask.read() if record.mask else []
    for each in found:
        _check_size(record, picture, each.mask)
    names = dict.fromkeys(each.class_name for each in found)
    return [_masked(picture, [each for each in found if each.class_name == name], recent) for name in names]


def _masked(picture: Picture, found: Sequence[Found], recent: Recent | None) -> Picture:
    """A picture with the objects of one class."""

    def stored(array: NDArray) -> Stored:
        return array if recent is None else packed(array, recent)

    mask = np.maximum.reduce([each.mask for each in found])
    masked = replace(picture, stored_mask=stored(mask), class_name=found[0].class_name or picture.class_name)
    if not any(each.whole for each in found):
        return masked
    objects = np.zeros(mask.shape, np.int32)
    for number, each in enumerate(found, 1):
        objects[each.mask > 127] = number
    return replace(masked, stored_objects=stored(objects))


def _check_size(record: Record, picture: Picture, mask: Pixels) -> None:
    if mask.shape == picture.size:
        return
    turned = " once EXIF has turned it upright" if is_turned(record.image) else ""
    raise DataError(
        f"{record.image.name!r} is {picture.size[1]}x{picture.size[0]} pixels{turned}, but its mask "
        f"{record.mask and record.mask.name!r} is {mask.shape[1]}x{mask.shape[0]}. "
        f"Expected equal sizes; export the mask again from this picture{', upright' if turned else ''}."
    )


def read_pixels(path: Path) -> Pixels:
    """A picture (H, W, 3) uint8, or (H, W, 1) if it is grey, however it is stored."""
    return _squeezed(image_pixels(path))


def _opaque(path: Path) -> Pixels:
    return _squeezed(np.asarray(decode(path).convert("RGB")))


def _squeezed(pixels: Pixels) -> Pixels:
    grey = bool((pixels == pixels[..., :1]).all())
    return np.ascontiguousarray(pixels[..., :1] if grey else pixels)
