"""YOLO's segments: images/PART/NAME.png, labels/PART/NAME.txt with a polygon for each object, data.yaml."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..exceptions import DataError
from ..outlines import drawn, joined, pixel_loops
from ..stored_set import Shown, StoredSample, StoredSet
from .writing import Writing, put, put_picture, splits

LEAST = 0.95
"""The overlap (intersection over union) below which a label is refused."""


@dataclass(frozen=True)
class YoloSegments:
    """One polygon for each object, which runs from part to part and into holes, and back the same way.

    The format has no other place for parts and holes; trainers draw the way as a line one pixel wide. Each polygon is
    drawn again as they do, and refused where it overlaps its mask by less than 0.95.

    Args:
        lossy: write such labels, too, and report them.
    """

    lossy: bool = False
    name = "yolo-seg"
    title = "YOLO segmentation: ultralytics"

    def write(self, source: StoredSet, folder: Path) -> Writing:
        overlaps: list[float] = []
        for sample in source.samples():
            split = sample.entry.split
            put_picture(folder / "images" / split / f"{sample.name}.png", sample)
            lines = [self._line(each, sample, overlaps) for each in sample.shown]
            put(folder / "labels" / split / f"{sample.name}.txt", "".join(lines).encode())
            yield sample
        put(folder / "data.yaml", _yaml(source).encode())
        return [_report(overlaps)]

    def _line(self, each: Shown, sample: StoredSample, overlaps: list[float]) -> str:
        points = joined(pixel_loops(each.mask))
        overlap = _overlap(drawn(points, each.mask.shape) > 0, each.mask)
        if overlap < LEAST and not self.lossy:
            raise DataError(
                f"The {each.entry.class_name!r} of {sample.entry.image!r} would be {overlap:.2f} of itself as a "
                f"polygon; expected {LEAST} or more. It has holes or parts that one polygon cannot show: write "
                "another format, such as coco, or accept such labels with --set yolo-seg.lossy=true."
            )
        overlaps.append(overlap)
        height, width = each.mask.shape
        numbers = ((points + 0.5) / (width, height)).ravel()
        return f"{each.class_id} {' '.join(f'{number:.6f}' for number in numbers)}\n"


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def _report(overlaps: list[float]) -> str:
    if not overlaps:
        return "There is no object."
    below = sum(overlap < LEAST for overlap in overlaps)
    lossy = f"; {below} are below {LEAST}" if below else ""
    figures = f"{np.mean(overlaps):.4f} in the mean and {min(overlaps):.4f} at least"
    return f"Drawn again, {len(overlaps)} polygons overlap their masks by {figures}{lossy}."


def _yaml(source: StoredSet) -> str:
    """What ultralytics reads; strings as JSON has them are strings of YAML, too."""
    parts = [f"{split}: images/{split}\n" for split in splits(source)]
    if parts and not parts[0].startswith("train"):
        parts.insert(0, f"train: images/{splits(source)[0]}\n")
    if not any(part.startswith("val") for part in parts):
        parts.append("val: images/train  # nothing was set aside\n")
    names = [f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(source.info.classes)]
    return f"# {json.dumps(source.info.name)}: contains synthetic images\n{''.join(parts)}names:\n{''.join(names)}"
