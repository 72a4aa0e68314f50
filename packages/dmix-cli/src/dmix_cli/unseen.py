"""Samples in which an object does not show: the options of `dmix compose` for them, and what it prints of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .field_options import Decorator
from .parameters import Count, Finite

if TYPE_CHECKING:
    from dmix_core.redraw import Redraw, Unseen

NAMES = ("tries", "drop", "least_contrast")
MOST_TRIES = 1000
OPTIONS: list[Decorator] = [
    click.option(
        "--redraw",
        "tries",
        type=Count(0, MOST_TRIES),
        default=0,
        show_default=True,
        help="How often a sample is drawn again, at most, in which a mask is empty or an object has faded.",
    ),
    click.option("--drop", is_flag=True, help="Leave out samples in which a mask is empty or an object has faded."),
    click.option(
        "--min-contrast",
        "least_contrast",
        type=Finite(min=0, max=255),
        default=6.0,
        show_default=True,
        help="Below it, in grey levels, an object has faded; of real blowholes 5 % have less than 6.",
    ),
]


def record(done: "Redraw") -> dict[str, Any]:
    """What became of such samples, for --json."""
    shown = {"unseen": done.unseen, "dropped": done.dropped}
    return {"redrawn": done.redrawn} | {
        what: {number: [each._asdict() for each in found] for number, found in samples.items()}
        for what, samples in shown.items()
    }


def report(done: "Redraw") -> Iterator[str]:
    """Lines that name such samples by their numbers, and what can be done about those that are left."""
    if done.redrawn:
        counts = (f"{number} ({tries} time{'s' * (tries > 1)})" for number, tries in done.redrawn.items())
        yield f"Drawn again: {', '.join(counts)}."
    for line in _lines(done.dropped, done.least_contrast):
        yield f"Left out: {line}"
    yield from _lines(done.unseen, done.least_contrast)
    if done.unseen:
        yield "--redraw 3 draws each of them again, up to 3 times; --drop leaves them out."


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
