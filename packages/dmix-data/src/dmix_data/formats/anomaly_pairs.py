"""AnomalyDiffusion's generated data: PART/NAME/KIND/image/0.jpg with PART/NAME/KIND/mask/0.jpg."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from dmix_core.output import safe

from ..stored_set import StoredSet
from .writing import GOOD, Numbers, Writing, folder_names, kind_of, put, union


class AnomalyPairs:
    """JPEGs of the highest quality, numbered from 0 in each folder, which is what its readers ask for.

    Pictures change by a grey level or two; masks are the same above 127. Pictures without objects have no place.
    """

    name = "anomalydiffusion"
    title = "AnomalyDiffusion's generated data: its localisation and classification, and rivals compared with it"

    def write(self, source: StoredSet, folder: Path) -> Writing:
        names, number, normal = folder_names(source), Numbers(1), 0
        for sample in source.samples():
            kind = kind_of(sample)
            if kind == GOOD:
                normal += 1
            else:
                place = folder / sample.entry.split / safe(source.info.name) / names[kind]
                stem = number.next(place)
                put(place / "image" / f"{stem}.jpg", _jpeg(sample.picture()))
                put(place / "mask" / f"{stem}.jpg", _jpeg(Image.fromarray(255 * union(sample).astype(np.uint8))))
            yield sample
        return [f"{normal} pictures without objects were left out: the format has no place for them."] if normal else []


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    plain = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    plain.save(buffer, "JPEG", quality=100, subsampling=0)
    return buffer.getvalue()
