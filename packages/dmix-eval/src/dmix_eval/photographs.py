"""Whole pictures with their defects, real or generated, as detectors learn from them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmix_core.image_files import decode, read_pixels
from dmix_data.components import label
from dmix_data.exceptions import DataError
from dmix_data.generated_set import MANIFEST, SampleEntry, entries
from dmix_data.layouts import Record, find, listing
from dmix_data.loader import pictures_of

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Pixels = NDArray[np.intp]

TOGETHER = 4
"""Parts of a mask at most this many pixels apart are one object, as in `DataOptions.merge_distance`."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """A grey picture at its own scale.

    Attributes:
        name: of its file.
        image: (H, W) uint8, the mean of the channels.
        mask: (H, W), where defects are.
        group: pictures of one thing share it.
        spots: for each place to look at, the (row, column) of its pixels (N, 2): the defects of `mask`, or in a twin
            or near-miss where the composite has them.
    """

    name: str
    image: Grey
    mask: Mask
    group: str
    spots: tuple[Pixels, ...] = ()

    @property
    def normal(self) -> bool:
        return not self.mask.any()


def photograph(name: str, image: Grey, mask: Mask, group: str) -> Photograph:
    """A picture whose spots are the connected parts of its mask."""
    labels = label(mask, TOGETHER)
    return Photograph(name, image, mask, group, _spots(labels, range(1, int(labels.max(initial=0)) + 1)))


def _spots(numbers: NDArray[np.integer], of: Iterable[int]) -> tuple[Pixels, ...]:
    """The pixels that have each of these numbers, without those that none has."""
    found = (np.argwhere(numbers == number) for number in of)
    return tuple(pixels for pixels in found if len(pixels))


def grey(path: Path) -> Grey:
    """(H, W) uint8, the mean of a picture's channels."""
    return read_pixels(path).mean(2).round().astype(np.uint8)


# ---- real ---------------------------------------------------------------------------------------------------


def real_photographs(folder: str | Path, classes: Sequence[str] = ()) -> list[Photograph]:
    """The pictures of a folder that show defects of these classes, and those that show none.

    Args:
        classes: those that count as defects; pictures of other classes are left out. None: all.

    Raises:
        DataError: nothing is known of masks, or no picture shows such a defect, or none is without.
    """
    root = Path(folder)
    records = listing(find(root).layout, root).records
    found = [photo for record in records if (photo := _real(record, root, classes)) is not None]
    for what, those in (("defect", [not each.normal for each in found]), ("normal", [each.normal for each in found])):
        if not any(those):
            wanted = f" of the classes {', '.join(classes)}" if classes and what == "defect" else ""
            raise DataError(
                f"{str(root)!r} has no {what} pictures{wanted}; expected a data set with pictures of defects, their "
                "masks, and pictures without. `dmix data inspect` shows what is there."
            )
    return found


def _real(record: Record, root: Path, classes: Sequence[str]) -> Photograph | None:
    name, group = record.image.relative_to(root).as_posix(), record.group_name
    if record.normal:
        image = grey(record.image)
        return Photograph(name, image, np.zeros(image.shape, bool), group)
    if record.mask is None or (classes and record.class_names and not record.class_names & {*classes}):
        return None
    pictures = [each for each in pictures_of(record) if not classes or each.class_name in classes]
    masks = [each.mask > 127 for each in pictures if each.mask is not None]
    if not masks or not np.any(masks):
        return None
    return photograph(name, grey(record.image), np.logical_or.reduce(masks), group)


def chosen(photographs: Sequence[Photograph], count: int | None) -> list[Photograph]:
    """So many of them from as many groups as there are: the first of each group, then the second, and so on.

    Groups come in an order that depends on their names' digests alone, so that fewer are a part of more.

    Raises:
        DataError: there are fewer.
    """
    if count is None:
        return [*photographs]
    if count > len(photographs):
        raise DataError(f"A row asks for {count} real pictures of defects; expected at most {len(photographs)}.")
    return _by_turns(photographs)[:count]


def _by_turns(photographs: Sequence[Photograph]) -> list[Photograph]:
    turns: dict[str, int] = {}
    ranked = []
    order = np.random.default_rng(0).permutation(len(photographs))
    for each in (photographs[number] for number in order):
        turns[each.group] = turns.get(each.group, -1) + 1
        ranked.append((turns[each.group], each))
    return [each for _, each in sorted(ranked, key=lambda pair: pair[0])]


# ---- generated ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GeneratedSet:
    """What a folder of generated pictures holds.

    Attributes:
        composites: pictures with their defects.
        twins: the same backgrounds without, for each composite that has one: (number among composites, picture).
        near_misses: pictures whose defects are too faint to be labelled.
        unseen: the objects of composites of which no pixel shows, by the manifest; a run's folder does not tell.
    """

    composites: list[Photograph]
    twins: dict[int, Photograph]
    near_misses: list[Photograph]
    unseen: int = 0

    @property
    def negatives(self) -> list[Photograph]:
        """Twins and near-misses: pictures without a label, each with the spots to look at."""
        return [*self.twins.values(), *self.near_misses]


def generated_photographs(folder: str | Path, classes: Sequence[str] = ()) -> GeneratedSet:
    """Read a set of `dmix generate`, by its manifest, or the folder of a `dmix compose` run: images/ with masks/.

    Args:
        classes: the objects that count, by the manifest; none: all. A run's folder names no classes: all of them.

    Raises:
        DataError: neither, or no object is shown.
        ImageError: a picture that cannot be read.
    """
    root = Path(folder)
    found = _of_manifest(root, classes) if (root / MANIFEST).is_file() else _of_run(root)
    if not found.composites:
        raise DataError(f"{str(root)!r} shows no object; expected pictures with objects and their masks.")
    return found


def _of_manifest(root: Path, classes: Sequence[str]) -> GeneratedSet:
    result, unseen = GeneratedSet([], {}, []), 0
    spots: dict[int, tuple[Pixels, ...]] = {}  # of composites by their seeds, which their near-misses share
    for entry in sorted(entries(root), key=lambda each: each.number):
        photo = _generated(entry, root, classes)
        if entry.kind == "composite":
            spots[entry.seed] = photo.spots
            unseen += len(_values(entry, classes)) - len(photo.spots)
        if entry.kind == "near-miss" and (found := spots.get(entry.seed)):
            result.near_misses.append(replace(photo, spots=found))
        _add(result, photo, entry, root)
    return replace(result, unseen=unseen)


def _add(result: GeneratedSet, photo: Photograph, entry: SampleEntry, root: Path) -> None:
    if entry.kind not in ("composite", "real") or photo.normal:
        return
    if entry.twin is not None:
        image = grey(root / entry.twin)
        result.twins[len(result.composites)] = Photograph(
            entry.twin, image, np.zeros(image.shape, bool), photo.group, photo.spots
        )
    result.composites.append(photo)


def _generated(entry: SampleEntry, root: Path, classes: Sequence[str]) -> Photograph:
    values = _values(entry, classes)
    index = _index(root / entry.mask)
    return Photograph(entry.image, grey(root / entry.image), np.isin(index, values), entry.group, _spots(index, values))


def _values(entry: SampleEntry, classes: Sequence[str]) -> list[int]:
    """The values of the objects that count in a sample's mask."""
    return [each.value for each in entry.objects if not classes or each.class_name in classes]


def _of_run(root: Path) -> GeneratedSet:
    pairs = [(image, root / "masks" / f"{image.stem}.png") for image in sorted((root / "images").glob("*.png"))]
    if not pairs or not all(mask.is_file() for _, mask in pairs):
        raise DataError(
            f"{str(root)!r} is no generated set; expected {MANIFEST} of `dmix generate`, or images/ and masks/ of "
            "`dmix compose`."
        )
    return GeneratedSet([photo for photo in _pairs(pairs) if not photo.normal], {}, [])


def _pairs(pairs: Sequence[tuple[Path, Path]]) -> Iterator[Photograph]:
    for image, mask in pairs:
        index = _index(mask)
        spots = _spots(index, range(1, int(index.max()) + 1))
        yield Photograph(image.name, grey(image), index > 0, image.name, spots)


def _index(path: Path) -> Grey:
    """The numbers in a mask, which a palette's colours would hide."""
    picture = decode(path)
    return np.array(picture if picture.mode == "P" else picture.convert("L"))
