"""Is a picture generated? By its metadata and C2PA manifest; and, against a set's manifest, as an exact or a near copy.

Metadata are lost when a picture is saved again. Copies are found without them, but only of pictures whose manifest is
at hand; docs/measurements.md has the rates.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

from dmix_core.image_files import decode
from dmix_core.marks import Mark, read_mark

from . import crophash
from .c2pa import Credentials, read_credentials
from .exceptions import DataError
from .generated_set import MANIFEST, SET, SampleEntry, entries, read_info
from .paths import pictures_below
from .phash import as_numbers, distances, phash

NEAR = 4
"""In how many of its 64 bits the hash of a near copy differs at most."""
NEAR_CROP = 64
"""In how many of its 256 bits the hash of a centre differs at most from a window of a crop."""

Verdict = Literal["generated", "exact copy", "near copy", "no sign"]


class Copy(NamedTuple):
    """A sample of a set that a picture is a copy of.

    Attributes:
        distance: of their hashes, in bits.
        photograph: the one into which objects were painted, and which is as near; "" where a model paints backgrounds.
    """

    number: int
    image: str
    distance: int
    photograph: str = ""


@dataclass(frozen=True)
class Finding:
    """What is known of a picture.

    Attributes:
        mark: what its metadata state; None without a mark.
        credentials: what its C2PA manifest states; None without one, or without the extra `dmix-data[c2pa]`.
        exact: it has the bytes of this sample's picture.
        near: the sample whose hash is nearest, where that is near.
        crop: the sample whose centre is nearest to a window of it, where that is near; looked for where `near` is None.
    """

    path: Path
    mark: Mark | None = None
    credentials: Credentials | None = None
    exact: Copy | None = None
    near: Copy | None = None
    crop: Copy | None = None

    @property
    def verdict(self) -> Verdict:
        """The strongest sign that the picture is generated."""
        if any(each and each.is_generated for each in (self.mark, self.credentials)):
            return "generated"
        return "exact copy" if self.exact else "near copy" if self.near or self.crop else "no sign"


class Known:
    """The pictures of a set, by checksum and by perceptual hash.

    Args:
        samples: lines of its manifest; those of real pictures are left out.
        near: in how many bits the hash of a near copy differs at most, 0..64.
        real: whether backgrounds are photographs, which are near to their samples by nature.
    """

    def __init__(self, samples: Iterable[SampleEntry], near: int = NEAR, real: bool = False) -> None:
        kept = [sample for sample in samples if sample.kind != "real"]
        self.near, self.real = near, real
        self._exact = {sample.sha256[sample.image]: sample for sample in kept if sample.image in sample.sha256}
        self._hashed = [sample for sample in kept if sample.phash]
        self._hashes = as_numbers([sample.phash for sample in self._hashed])
        self._centred = [sample for sample in kept if sample.centre]
        self._centres = crophash.as_signs([sample.centre for sample in self._centred])

    @classmethod
    def read(cls, manifest: str | Path, near: int = NEAR) -> "Known":
        """The pictures of a manifest, given as the file or as the folder of its set; errors as for `entries`."""
        path = Path(manifest)
        root = path.parent if path.name == MANIFEST else path
        return cls(entries(root), near, (root / SET).is_file() and read_info(root).real)

    def exact(self, content: bytes) -> Copy | None:
        """The sample with a file of this content."""
        sample = self._exact.get(hashlib.sha256(content).hexdigest())
        return Copy(sample.number, sample.image, 0) if sample else None

    def nearest(self, picture: Image.Image) -> Copy | None:
        """The sample whose hash is nearest, if it is near."""
        if not self._hashed:
            return None
        apart = distances(phash(picture), self._hashes)
        place = int(apart.argmin())
        sample, distance = self._hashed[place], int(apart[place])
        return self._near(sample, distance) if distance <= self.near else None

    def cropped(self, picture: Image.Image) -> Copy | None:
        """The sample whose centre is nearest to a window of the picture, if it is near."""
        if not self._centred:
            return None
        place, distance = crophash.nearest(picture, self._centres)
        return self._near(self._centred[place], distance) if distance <= NEAR_CROP else None

    def _near(self, sample: SampleEntry, distance: int) -> Copy:
        return Copy(sample.number, sample.image, distance, sample.background if self.real else "")


def detect(path: Path, known: Known | None = None) -> Finding:
    """What is known of a picture file.

    Args:
        known: the pictures of a set that copies are looked for among.

    Raises:
        ImageError: the file is missing, damaged, or no picture.
    """
    picture, mark, credentials = decode(path), read_mark(path), read_credentials(path)
    if known is None:
        return Finding(path, mark, credentials)
    near = known.nearest(picture)
    exact, crop = known.exact(path.read_bytes()), None if near else known.cropped(picture)
    return Finding(path, mark, credentials, exact, near, crop)


def detect_below(path: Path, known: Known | None = None) -> Iterator[Finding]:
    """`detect` for a file, or for each picture below a folder.

    Raises:
        DataError: a folder without pictures.
        ImageError: a file that cannot be read.
    """
    files = pictures_below(path) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{str(path)!r} has no pictures; expected some, or the path of one.")
    return (detect(file, known) for file in files)
