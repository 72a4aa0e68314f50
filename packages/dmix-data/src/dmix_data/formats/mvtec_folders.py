"""MVTec AD: NAME/train/good, NAME/test/KIND, NAME/ground_truth/KIND, as anomalib's loader asks for it."""

from pathlib import Path

from dmix_core.output import safe

from ..exceptions import DataError
from ..stored_set import StoredSet
from .writing import GOOD, Writing, folder_names, kind_of, numbers, put_mask, put_picture, union


class MvtecFolders:
    """PNGs numbered from 000 in each folder, masks 000_mask.png of 0 and 255; pictures with objects are all in test/.

    Pictures without objects, which are twins and near-misses, are in train/good or test/good by the set's parts.
    """

    name = "mvtec"
    title = "MVTec AD: anomalib"

    def write(self, source: StoredSet, folder: Path) -> Writing:
        _check_normal(source)
        root, names, number = folder / safe(source.info.name), folder_names(source), numbers(source)
        for sample in source.samples():
            kind = kind_of(sample)
            split = "train" if kind == GOOD and sample.entry.split == "train" else "test"
            stem = number.next(Path(split, names[kind]))
            put_picture(root / split / names[kind] / f"{stem}.png", sample)
            if kind != GOOD:
                put_mask(root / "ground_truth" / names[kind] / f"{stem}_mask.png", union(sample))
            yield sample
        return ["Pictures with objects are all in test/, since methods of this format learn from normal ones alone."]


def _check_normal(source: StoredSet) -> None:
    if not any(sample.entry.split == "train" and not sample.shown for sample in source.samples()):
        raise DataError(
            f"{str(source.root)!r} has no picture for training without an object; expected some for train/good, from "
            "which methods of this format learn. Generate the set with --twins, or write another format."
        )
