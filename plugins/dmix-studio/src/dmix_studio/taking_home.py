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
from PIL import Image

from dmix_core.files import write_atomically
from dmix_core.naming import short_name
from dmix_core.registry import Registry
from dmix_data.formats import export, named
from dmix_data.generated_set import MANIFEST, SET, ObjectEntry, SampleEntry, SetInfo
from dmix_data.provenance import stamped
from dmix_data.stored_set import StoredSet

from .errors import StudioError
from .tabs import Photograph
from .variants import CORRECTED, Variant

Photographs = Mapping[str, Photograph]
README = """\
What you kept in `dmix studio`.

set/          the pictures, their masks (0 for the background, and each object's value), and manifest.jsonl: it states
              where each comes from and whether a mask was corrected by hand
recipes/      a recipe for each picture
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
        for number, variant in enumerate(variants):
            _put(folder / "recipes" / f"{number:06d}.json", recipe_text(variant, photographs).encode())
        used = {variant.scene.background for variant in variants} & photographs.keys()
        for key in used:
            _put(folder / _path_of(key, photographs[key]), photographs[key].path.read_bytes())
        commands = "".join(f"{command_text(variant, photographs, number)}\n" for number, variant in enumerate(variants))
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


def _with_photographs(text: str, photographs: Photographs) -> str:
    for key, photograph in photographs.items():
        text = text.replace(json.dumps(photograph.reference)[1:-1], f"photo:{_path_of(key, photograph)}")
    return text


def _path_of(key: str, photograph: Photograph) -> str:
    return f"photographs/{photograph.name}-{key}.png"


# ---- the set --------------------------------------------------------------------------------------------------


def _write_set(folder: Path, variants: Sequence[Variant], photographs: Photographs) -> None:
    entries = []
    for number, variant in enumerate(variants):
        entry, files = _entry(number, variant, variant.scene.background in photographs)
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


def _entry(number: int, variant: Variant, real: bool) -> tuple[SampleEntry, dict[str, bytes]]:
    """A line of the manifest, and the files that it names."""
    facts, scene = variant.facts, variant.scene
    with Image.open(io.BytesIO(variant.image), formats=("PNG",)) as picture:
        made = {"recipe": facts["digest"], "seed": scene.seed, "number": 0}
        mark = stamped(picture.copy(), made, real=real, grey=facts["grey"])
    names = f"images/{number:06d}.png", f"masks/{number:06d}.png"
    files = dict(zip(names, (mark.content, variant.mask), strict=True))
    entry = SampleEntry(
        number=number,
        image=names[0],
        mask=names[1],
        height=facts["size"][0],
        width=facts["size"][1],
        objects=tuple(_objects(variant)),
        background="photograph" if real else variant.references[scene.background],
        group=f"{scene.background}-{scene.seed}" if not real else scene.background,
        seed=scene.seed,
        recipe=facts["digest"],
        sha256={path: hashlib.sha256(data).hexdigest() for path, data in files.items()},
        phash=mark.phash,
        flags=(CORRECTED,) if variant.corrected else (),
    )
    return entry, files


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
