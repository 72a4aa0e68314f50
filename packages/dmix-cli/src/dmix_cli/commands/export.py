"""`dmix export`: a generated set in the formats that trainers read."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..failures import wrong_use
from ..parameters import FOLDER, NEW_FOLDER, NamesType, Setting, SettingType
from ..printing import json_option, print_json, say
from ..progress import progress

if TYPE_CHECKING:
    from dmix_core.registry import Registry
    from dmix_data.formats import Format


@click.command(short_help="Write a generated set in other formats.")
@click.argument("folder", metavar="SET", type=FOLDER)
@click.option(
    "--format", "names", type=NamesType(), required=True, help="The formats, such as coco,yolo-seg; see below."
)
@click.option("--set", "settings", multiple=True, type=SettingType(), help="A setting of a format; may be repeated.")
@click.option("-o", "--out", type=NEW_FOLDER, required=True, help="The folder in which each format gets its own.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@json_option
def export(
    folder: Path, names: list[str], settings: tuple[Setting, ...], out: Path, quiet: bool, as_json: bool
) -> None:
    """Write the samples of SET, which `dmix generate` made, into OUT/FORMAT, for each format by its parts.

    The formats are coco, yolo-seg, mvtec, semantic, anomalydiffusion, huggingface, webdataset, and those of plugins.
    Each is made of the manifest alone, so that the same set gives the same files, and is written whole or not at all.

    \b
    Examples:
      dmix export set --format coco,yolo-seg -o exported
      dmix export set --format coco --set coco.polygons=true -o exported
      dmix export set --format webdataset --set webdataset.samples=500 -o shards
    """
    from dmix_core.registry import Registry
    from dmix_data.exceptions import DataError
    from dmix_data.formats import check_target
    from dmix_data.stored_set import StoredSet

    source, registry = StoredSet.open(folder), Registry.load()
    with wrong_use(DataError):
        chosen = [(_made(name, names, settings, registry), out / name) for name in names]
        for _, target in chosen:
            check_target(source, target)
    notes = {}
    for form, target in chosen:
        with progress(f"writing {form.name}", "sample", quiet or as_json, total=source.count()) as bar:
            notes[str(target)] = _write(source, form, target, bar)
    if as_json:
        print_json({"written": [{"folder": target, "notes": told} for target, told in notes.items()]})
    elif not quiet:
        _show(notes, source.count())


def _made(name: str, names: Iterable[str], settings: Iterable[Setting], registry: "Registry") -> "Format":
    """The format of this name with the settings that are typed for it, or for the only one."""
    from dmix_data.formats import named

    for setting in settings:
        if setting.owner not in (None, *names):
            raise click.UsageError(
                f"--set {setting.owner}.{setting.key}: no format {setting.owner!r} is written. "
                f"Expected a setting of {', '.join(names)}."
            )
    return named(name, registry, {each.key: each.value for each in settings if each.owner in (None, name)})


def _write(source: Any, form: "Format", target: Path, bar: Any) -> list[str]:
    """Write one format; returns what it tells."""
    from dmix_data.formats import export

    steps = export(source, form, target)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            told: list[str] = end.value
            return told
        bar.update()


def _show(notes: dict[str, list[str]], count: int) -> None:
    for target, told in notes.items():
        say(f"Wrote {count} samples into {target}.")
        for note in told:
            say(f"  {note}")
