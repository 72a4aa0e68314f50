"""The data card of a set, README.md: what it holds, where that comes from, and what it is not good for."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dmix_core.files import write_atomically

from .generated_set import SetInfo
from .set_figures import SetFigures
from .stored_set import StoredSet

CARD = "README.md"

LIMITS = (
    "Objects look like those that their models have learned from, which may be few: rare forms are missing.",
    "Labels come from the models' own masks, which no person has checked.",
    "Test on real pictures. Scores on synthetic ones state how well a detector knows these models, not your parts.",
    "Samples of one group share a background or a state. Divide by `group`, never by sample.",
)


def write_card(folder: str | Path) -> Path:
    """Write README.md into a set's folder.

    Raises:
        DataError: there is no set, or its manifest is damaged.
        WriteError: the file cannot be written.
    """
    source = StoredSet.open(folder)
    return write_atomically(source.root / CARD, data_card(source).encode())


def data_card(source: StoredSet) -> str:
    """The text of the card, in Markdown: a function of the set alone."""
    figures = SetFigures.of(sample.entry for sample in source.samples())
    return "\n".join(_lines(source, figures)) + "\n"


def _lines(source: StoredSet, figures: SetFigures) -> Iterator[str]:
    info = source.info
    ground = "photographs into which models have painted objects" if info.real else "backgrounds and objects of models"
    yield f"# {info.name}\n\n**This data set contains synthetic images**: {ground}, made with dmix.\n"
    yield "## What it holds\n"
    yield from _table(("samples", "by kind", "by part", "by size", "groups", "backgrounds"), _counts(figures))
    yield ""
    rows = (
        (name, figures.objects[name], figures.pictures[name], _median(figures.areas[name])) for name in info.classes
    )
    yield from _table(("class", "objects", "samples", "median area in pixels"), rows)
    yield "\n## Sources and licences\n"
    yield from _origins(info)
    yield "\n## Settings\n"
    yield from _facts({"recipe": info.recipe} | info.made_with)
    if info.source:
        yield f"\n```json\n{json.dumps(info.source, indent=2, sort_keys=True)}\n```"
    yield "\n## Limits\n"
    yield from (f"- {limit}" for limit in LIMITS)


def _origins(info: SetInfo) -> Iterator[str]:
    """Where all parts come from, and under which licences."""
    known = dict.fromkeys([*info.licences, *info.sources])
    rows = ((name, info.sources.get(name, "-"), info.licences.get(name, "not stated")) for name in known)
    yield from _table(("part", "source", "licence"), rows) if known else ()
    if not known or any(name not in info.licences for name in known):
        yield "\nNot all licences are stated. Ask who made the set before you pass it on."


def _counts(figures: SetFigures) -> Iterator[tuple[object, ...]]:
    counted = (figures.kinds, figures.splits, figures.sizes)
    texts = (", ".join(f"{count} {name}" for name, count in each.most_common(5)) for each in counted)
    yield (figures.samples, *texts, len(figures.groups), len(figures.backgrounds))


def _median(values: list[int]) -> object:
    return sorted(values)[len(values) // 2] if values else "-"


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    titles = [*head]
    yield _row(titles)
    yield _row(["---"] * len(titles))
    yield from (_row(row) for row in rows)


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _facts(facts: Mapping[str, str]) -> Iterator[str]:
    return (f"- {name}: {value}" for name, value in facts.items() if value)
