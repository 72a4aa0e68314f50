"""What was kept, as one zip: pictures, masks, labels in the formats of trainers, recipes, and the commands."""

import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dmix_core.files import write_atomically
from dmix_core.images import index_picture, png_bytes
from dmix_core.naming import short_name
from dmix_core.registry import Registry
from dmix_data.formats import export, named
from dmix_data.generated_set import MANIFEST, SET, ObjectEntry, SampleEntry, SetInfo
from dmix_data.phash import phash
from dmix_data.provenance import Stamped, stamped
from dmix_data.stored_set import StoredSet

from .errors import StudioError
from .tabs import Photograph
from .variants import CORRECTED, Variant

Photographs = Mapping[str, Photograph]
Sample = tuple[SampleEntry, dict[str, bytes]]
README = """\
What you kept in `dmix studio`.

set/          the pictures, their masks (0 for the background, and each object's value), and manifest.jsonl: it states
              where each comes from and whether a mask was corrected by hand
              after each picture the same without objects, where that was made in time
recipes/      a recipe for each picture, by its number
commands.txt  the command that makes each picture again, to be run in this folder
"""


def taken_home(variants: Sequence[Variant], photographs: Photographs, formats: Iterable[str]) -> bytes:
    """A zip of these variants.

    Args:
        photographs: of the page, by their ids.
        formats: names of formats, such as "coco", each of which gets a folder.

    Raises:
        DmixError: nothing was kept, a format that there is not, or one that cannot hold the set.
    """
    if not variants:
        raise StudioError("Nothing is kept yet. Keep a picture first, then take it home.")
    with tempfile.TemporaryDirectory(prefix="dmix-studio-") as place:
        folder = Path(place)
        _write_set(folder / "set", variants, photographs)
        source, registry = StoredSet.open(folder / "set"), Registry.load()
        for name in dict.fromkeys(formats):
            for _ in export(source, named(name, registry), folder / name):
                pass
        numbered = {2 * place: variant for place, variant in enumerate(variants)}
        for number, variant in numbered.items():
            _put(folder / "recipes" / f"{number:06d}.json", recipe_text(variant, photographs).encode())
        used = {variant.scene.background for variant in variants} & photographs.keys()
        for key in used:
            _put(folder / _path_of(key, photographs[key]), photographs[key].path.read_bytes())
        commands = "".join(f"{command_text(variant, photographs, number)}\n" for number, variant in numbered.items())
        _put(folder / "commands.txt", commands.encode())
        _put(folder / "README.txt", README.encode())
        return _zipped(folder)


def recipe_text(variant: Variant, photographs: Photographs) -> str:
    """The recipe of a variant, in which a photograph is called as in the zip."""
    return _with_photographs(variant.facts["recipe"], photographs)


def command_text(variant: Variant, photographs: Photographs, number: int | None = None) -> str:
    """The command of a variant, in which a photograph is called as in the zip."""
    text = _with_photographs(variant.facts["command"], photographs)
    return text if number is None else text.removesuffix("again") + f"again/{number:06d}"


def shown(variant: Variant, photographs: Photographs) -> dict[str, Any]:
    """What the page shows of a variant."""
    return variant.seen() | {"command": command_text(variant, photographs)}


def _with_photographs(text: str, photographs: Photographs) -> str:
    for key, photograph in photographs.items():
        text = text.replace(json.dumps(photograph.reference)[1:-1], f"photo:{_path_of(key, photograph)}")
    return text


def _path_of(key: str, photograph: Photograph) -> str:
    return f"photographs/{photograph.name}-{key}.png"


# ---- the set --------------------------------------------------------------------------------------------------


def _write_set(folder: Path, variants: Sequence[Variant], photographs: Photographs) -> None:
    entries = []
    for place, variant in enumerate(variants):
        for entry, files in _samples(2 * place, variant, variant.scene.background in photographs):
            entries.append(entry)
            for path, data in files.items():
                _put(folder / path, data)
    classes = dict.fromkeys(each.class_name for entry in entries for each in entry.objects)
    info = SetInfo(
        name="studio",
        classes=tuple(classes),
        made_with=variants[0].facts["made_with"],
        real=any(variant.scene.background in photographs for variant in variants),
        samples=len(entries),
    )
    _put(folder / SET, (info.model_dump_json(indent=2) + "\n").encode())
    _put(folder / MANIFEST, b"".join(entry.model_dump_json().encode() + b"\n" for entry in entries))


def _samples(number: int, variant: Variant, real: bool) -> Iterator[Sample]:
    """The picture, and its twin where that is made: formats of anomaly detection need pictures without objects."""
    facts, scene = variant.facts, variant.scene
    mark = {"recipe": facts["digest"], "seed": scene.seed, "number": 0}
    picture = stamped(_opened(variant.image), mark, real=real, grey=facts["grey"])
    twin = _names(number + 1)[0] if variant.twin else None
    more = {"twin": twin, "objects": tuple(_objects(variant)), "flags": (CORRECTED,) if variant.corrected else ()}
    yield _sample(number, variant, real, (picture, variant.mask), **more)
    if variant.twin:
        drawn = _opened(variant.twin)
        alone = Stamped(variant.twin, phash(drawn)) if real else stamped(drawn, mark, grey=facts["grey"])
        empty = np.zeros(facts["size"], np.uint8)
        yield _sample(
            number + 1, variant, real, (alone, png_bytes(index_picture(torch.from_numpy(empty)))), kind="twin"
        )


def _sample(number: int, variant: Variant, real: bool, made: tuple[Stamped, bytes], **more: Any) -> Sample:
    """A line of the manifest, and the files that it names."""
    facts, scene, names = variant.facts, variant.scene, _names(number)
    files = dict(zip(names, (made[0].content, made[1]), strict=True))
    entry = SampleEntry(
        number=number,
        image=names[0],
        mask=names[1],
        height=facts["size"][0],
        width=facts["size"][1],
        background="photograph" if real else variant.references[scene.background],
        group=scene.background if real else f"{scene.background}-{scene.seed}",
        seed=scene.seed,
        recipe=facts["digest"],
        sha256={path: hashlib.sha256(data).hexdigest() for path, data in files.items()},
        phash=made[0].phash,
        **more,
    )
    return entry, files


def _names(number: int) -> tuple[str, str]:
    return f"images/{number:06d}.png", f"masks/{number:06d}.png"


def _opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        return picture.copy()


def _objects(variant: Variant) -> Iterator[ObjectEntry]:
    areas = np.bincount(variant.index().ravel(), minlength=256)
    found: dict[int, list[str]] = {}
    for warning in variant.facts["warnings"]:
        found.setdefault(warning["object"] + 1, []).append(warning["flag"])
    placed = zip(variant.scene.objects, variant.facts["objects"], strict=True)
    for value, (asked, seen) in enumerate(placed, 1):
        model = variant.references[asked.model]
        flags: list[str] = [CORRECTED] if value in variant.corrected else found.get(value, [])
        figures: dict[str, Any] = {name: seen[name] for name in ("box", "contrast", "edge", "grain")}
        yield ObjectEntry(
            class_name=short_name(model),
            value=value,
            area=int(areas[value]),
            asked=asked.box,
            model=model,
            flags=tuple(flags),
            **figures,
        )


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as source, archive.open(path.relative_to(folder).as_posix(), "w") as target:
                    shutil.copyfileobj(source, target)
    return buffer.getvalue()
