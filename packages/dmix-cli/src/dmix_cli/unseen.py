"""Samples in which an object does not show: what `dmix compose` prints of them."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmix_core.redraw import Redraw, Unseen
    from dmix_core.run import RunFolder

NAMES = ("tries", "drop", "least_contrast")
"""The options' values, as dmix_core.redraw.Redraw takes them."""


def record(done: "Redraw") -> dict[str, Any]:
    """What became of such samples, for --json."""
    shown = {"unseen": done.unseen, "dropped": done.dropped}
    return {"redrawn": done.redrawn} | {
        what: {number: [each._asdict() for each in found] for number, found in samples.items()}
        for what, samples in shown.items()
    }


def report(done: "Redraw", folder: "RunFolder") -> Iterator[str]:
    """Lines that name such samples by their numbers, and what to type to have others in the place of those left."""
    if done.redrawn:
        counts = (f"{number} ({tries} time{'s' * (tries > 1)})" for number, tries in done.redrawn.items())
        yield f"Drawn again: {', '.join(counts)}."
    for line in _lines(done.dropped, done.least_contrast):
        yield f"Left out: {line}"
    yield from _lines(done.unseen, done.least_contrast)
    if done.unseen:
        again = f"dmix compose {shlex.quote(str(folder.recipe))} -o {shlex.quote(str(folder.path))} --redraw 3"
        yield f"To draw each of them again, up to 3 times: {again}; with --drop, what is no better is left out."


def _lines(samples: "Mapping[int, Sequence[Unseen]]", least: float) -> Iterator[str]:
    empty: dict[str, list[str]] = {}
    faded: dict[str, list[str]] = {}
    for number, found in samples.items():
        for name, contrast in found:
            if contrast is None:
                empty.setdefault(name, []).append(str(number))
            else:
                faded.setdefault(name, []).append(f"{number} ({contrast:.1f})")
    for name, numbers in empty.items():
        yield f"the mask of {name!r} is empty in {', '.join(numbers)}."
    for name, numbers in faded.items():
        yield f"{name!r} has faded, with a contrast below {least:g} grey levels, in {', '.join(numbers)}."
