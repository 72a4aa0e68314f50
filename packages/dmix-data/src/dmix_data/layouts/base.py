"""What a layout is: how a data set lies on disk, which classes it has, and how its masks are read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..exceptions import DataError
from ..masks import MaskSource
from ..options import Split
from ..paths import SUFFIXES, pictures_in


@dataclass(frozen=True)
class Record:
    """A picture of a data set.

    Attributes:
        mask: None without one.
        class_name: of the objects; None where the mask has a class for each value, or where there are none.
        group: pictures of one thing (a clip, a tile under several exposures) share it, and must not be split between
            training and test; None: the picture stands alone.
        normal: the data set states that there is no object.
    """

    image: Path
    mask: MaskSource | None = None
    class_name: str | None = None
    group: str | None = None
    split: Split | None = None
    normal: bool = False

    @property
    def class_names(self) -> frozenset[str] | None:
        """The classes that it shows, where that is known without opening it."""
        if self.class_name is not None:
            return frozenset({self.class_name})
        return self.mask.class_names if self.mask else None

    @property
    def group_name(self) -> str:
        return str(self.image) if self.group is None else self.group


@dataclass(frozen=True)
class Listing:
    """All pictures of a data set, and what does not fit together.

    Attributes:
        maskless: pictures of objects whose mask is missing.
        orphans: masks whose picture is missing.
        missing: files that a list names and that are not there.
    """

    records: list[Record]
    maskless: list[Path] = field(default_factory=list)
    orphans: list[Path] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)


class Layout(Protocol):
    """A way in which data sets lie on disk. Plugins provide them through the hook `dmix_layouts`.

    Attributes:
        name: what `--layout` calls it, which is the name under which the hook provides it.
        title: the data sets that it is known from.
        rule: how its masks are read, see `dmix_data.mask_rules`, or "none".
        fallback: fits nearly any folder, and is asked only if no layout fits that is no fallback.
    """

    name: str
    title: str
    rule: str
    fallback: bool

    def detect(self, root: Path) -> str | None:
        """The evidence for this layout in a few words, such as "train/good/"; None if the folder is not laid out so.

        It looks at names alone, and opens no picture.
        """
        ...

    def read(self, root: Path) -> Listing:
        """List the pictures, without opening them, in an order that does not depend on the file system.

        Raises:
            DataError: a list or table in the folder that cannot be understood.
        """
        ...


def by_stem(folder: Path, suffix: str = "") -> dict[str, Path]:
    """The picture files of a folder by their stem without a suffix that all of them may have.

    Raises:
        DataError: two files of one stem.
    """
    found: dict[str, Path] = {}
    for path in pictures_in(folder):
        stem = path.stem.removesuffix(suffix)
        if stem in found:
            raise DataError(
                f"{found[stem].name!r} and {path.name!r} in {str(folder)!r} have the same name; "
                "expected one file for each picture. Move one away."
            )
        found[stem] = path
    return found


def no_pictures(folder: Path) -> DataError:
    return DataError(f"No pictures below {str(folder)!r}; expected files ending in {', '.join(SUFFIXES)}.")
