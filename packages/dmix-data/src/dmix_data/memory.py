"""Pictures that are too many for the memory: what was used last stays there, and the rest is made again."""

import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from .exceptions import DataError

MEMORY = 2**30
"""Bytes of decoded pictures that stay in memory."""


class Recent:
    """The arrays that were used last, up to MEMORY bytes; threads may share it."""

    def __init__(self) -> None:
        self._arrays: OrderedDict[Kept, NDArray] = OrderedDict()
        self.bytes = 0
        self._lock = Lock()

    def put(self, kept: "Kept", array: NDArray) -> None:
        with self._lock:
            if kept not in self._arrays:
                self._arrays[kept] = array
                self.bytes += array.nbytes
            while self.bytes > MEMORY:
                self.bytes -= self._arrays.popitem(last=False)[1].nbytes

    def get(self, kept: "Kept") -> NDArray | None:
        with self._lock:
            if kept in self._arrays:
                self._arrays.move_to_end(kept)
            return self._arrays.get(kept)

    def drop(self, kept: "Kept") -> None:
        with self._lock:
            if kept in self._arrays:
                self.bytes -= self._arrays.pop(kept).nbytes


@dataclass(frozen=True, eq=False, slots=True)
class Kept:
    """An array that can be had by calling this, made again if it is no longer in memory. It must not be changed.

    Attributes:
        make: makes it, each time the same.
        shape: of the array.
        digest: of what it is made from.
        recent: where it stays while it is used.
    """

    make: Callable[[], NDArray]
    shape: tuple[int, ...]
    digest: bytes
    recent: Recent

    def __call__(self) -> NDArray:
        array = self.recent.get(self)
        if array is None:
            array = self.make()
            self.recent.put(self, array)
        return array

    def take(self) -> NDArray:
        """The array, which need not stay in memory."""
        array = self.recent.get(self)
        self.recent.drop(self)
        return self.make() if array is None else array


Stored = NDArray | Kept
"""An array in memory, or one that is had by calling it."""


def now(stored: Stored) -> NDArray:
    return stored() if isinstance(stored, Kept) else stored


def digest_of(stored: Stored) -> bytes:
    """A digest of an array's shape and content, or of what it is made from."""
    if isinstance(stored, Kept):
        return stored.digest
    digest = blake2b(f"{stored.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(stored).data)
    return digest.digest()


def read(reader: Callable[[], NDArray], name: str, recent: Recent) -> Kept:
    """What a reader reads from a file: now, and whenever it is no longer in memory.

    Raises, when it is read again:
        DataError: the file has changed.
    """
    first = reader()
    digest = digest_of(first)

    def again() -> NDArray:
        array = reader()
        if digest_of(array) != digest:
            raise DataError(
                f"{name!r} has changed since training began. Expected the same picture for as long as it is learned "
                "from; put it back and start again."
            )
        return array

    kept = Kept(again, first.shape, digest, recent)
    recent.put(kept, first)
    return kept


def packed(array: NDArray, recent: Recent, digest: bytes | None = None) -> Kept:
    """An array that is nearly the same everywhere, as masks are, in a few bytes."""
    data, dtype, shape = zlib.compress(np.ascontiguousarray(array).data, 1), array.dtype, array.shape

    def unpack() -> NDArray:
        return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)

    kept = Kept(unpack, shape, digest or digest_of(array), recent)
    recent.put(kept, array)
    return kept


def replaced(stored: Stored | None, array: NDArray) -> Stored:
    """Another array made from the same, kept as the one before is; masks and the like, see `packed`."""
    return packed(array, stored.recent, stored.digest) if isinstance(stored, Kept) else array


def derived(stored: Stored, change: Callable[[NDArray], NDArray], shape: tuple[int, ...]) -> Stored:
    """What is made of an array, kept in its place."""
    if not isinstance(stored, Kept):
        return change(stored)
    return Kept(lambda: change(stored.take()), shape, stored.digest, stored.recent)


def remade(make: Callable[[], NDArray], like: Stored) -> Stored:
    """What can be made again from what is in memory already, kept as another array is."""
    array = make()
    if not isinstance(like, Kept):
        return array
    kept = Kept(make, array.shape, b"", like.recent)
    like.recent.put(kept, array)
    return kept
