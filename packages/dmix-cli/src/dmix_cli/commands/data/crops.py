"""`dmix data crops`: its work."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from dmix_models.data.cutting import Cut, Cutting, cut_objects
from dmix_models.data.manifest import MANIFEST

from .datasets import check_data
from .progress import progress


def run(folder: Path, out: Path, classes: tuple[str, ...], quiet: bool, as_json: bool, **given: Any) -> None:
    """Cut objects out and say what was cut and what was not."""
    cutting = _cutting(given)
    check_data(given["layout"], given["mask_rule"])
    with progress("cutting", "picture", quiet or as_json) as bar:
        cut = cut_objects(folder, out, cutting, classes=classes or None, seen=bar.update, **given)
    if as_json:
        click.echo(json.dumps(_record(cut, out), indent=2))
    elif not quiet:
        _tell(cut, out)


def _cutting(given: dict[str, Any]) -> Cutting:
    settings = {field: given.pop(field) for field in Cutting.model_fields}
    least, most = settings["context"]
    if least > most:
        raise click.UsageError(f"--context is {least} {most}; expected the smaller factor first.")
    return Cutting(**settings)


def _record(cut: Cut, out: Path) -> dict[str, Any]:
    return {
        "crops": len(cut.entries),
        "manifest": str(out / MANIFEST),
        "classes": _counted(entry.class_name for entry in cut.entries),
        "parts": _counted(entry.split for entry in cut.entries),
        "padded": sum(entry.padding > 0 for entry in cut.entries),
        "left_out": cut.left_out,
        "failed": [{"file": str(path), "why": why} for path, why in cut.failed],
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _tell(cut: Cut, out: Path) -> None:
    record = _record(cut, out)
    counts = (f"{count} {name}" for what in ("classes", "parts") for name, count in record[what].items())
    click.echo(f"Cut {record['crops']} objects into {out}: {', '.join(counts)}; {record['padded']} with padding.")
    for why, count in cut.left_out.items():
        click.echo(f"Left out: {count} {why}")
    for path, why in cut.failed:
        click.echo(f"Left out {path}: {why}")
