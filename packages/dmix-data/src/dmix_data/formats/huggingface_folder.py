"""Hugging Face's ImageFolder: PART/image/NAME.png, PART/mask/NAME.png, PART/metadata.jsonl."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from ..objects import box_of
from ..stored_set import StoredSample, StoredSet
from .writing import Writing, put, put_picture

METADATA = "metadata.jsonl"


class HuggingFaceFolder:
    """Read by `datasets.load_dataset("imagefolder", data_dir=...)` with the columns image, mask and objects.

    The mask has each object's value, as in the set; `objects` has, for each, value, class, category, box and area.
    """

    name = "huggingface"
    title = "Hugging Face datasets: imagefolder"

    def write(self, source: StoredSet, folder: Path) -> Writing:
        with ExitStack() as stack:
            lists: dict[str, BinaryIO] = {}
            for sample in source.samples():
                part = folder / sample.entry.split
                put_picture(part / "image" / f"{sample.name}.png", sample)
                put(part / "mask" / f"{sample.name}.png", sample.mask.read_bytes())
                if sample.entry.split not in lists:
                    lists[sample.entry.split] = stack.enter_context((part / METADATA).open("wb"))
                lists[sample.entry.split].write(f"{json.dumps(_row(sample))}\n".encode())
                yield sample
        return []


def _row(sample: StoredSample) -> dict[str, Any]:
    return {
        "file_name": f"image/{sample.name}.png",
        "mask_file_name": f"mask/{sample.name}.png",
        "kind": sample.entry.kind,
        "group": sample.entry.group,
        "objects": facts_of(sample),
    }


def facts_of(sample: StoredSample) -> dict[str, list[Any]]:
    """Value, class, category, box (x, y, width, height) and area of each object that can be seen, a list of each."""
    return {
        "value": [each.entry.value for each in sample.shown],
        "class": [each.entry.class_name for each in sample.shown],
        "category": [each.class_id for each in sample.shown],
        "bbox": [[*box_of(each.mask)] for each in sample.shown],
        "area": [int(each.mask.sum()) for each in sample.shown],
    }
