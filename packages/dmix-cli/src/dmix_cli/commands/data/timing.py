"""What the trainings that `dmix data inspect` advises would take on this machine."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

TRAINING = re.compile(r"dmix train (background|object) .*--size (\d+)x\d+.*--steps (\d+)")
SCALE = re.compile(r" --scale ([\d.]+)")
LONG = 24 * 3600
"""Seconds from which a smaller training is offered as well."""
SMALLEST = 32
"""The side of the smallest grid that is offered."""


def timings(commands: Sequence[str], seen: Callable[[], object] = lambda: None) -> list[dict[str, Any]]:
    """Command, seconds, bytes and device of each training among the commands; those of equal cost are measured once.

    Where one takes more than a day, the same on half the grid follows it, until that takes less.

    Args:
        seen: called after each training.
    """
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    found: list[dict[str, Any]] = []
    for command in filter(TRAINING.match, commands):
        found += _down_to_a_day(command, known)
        seen()
    return found


def _down_to_a_day(command: str, known: dict[tuple[str, ...], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    while match := TRAINING.match(command):
        if match.groups() not in known:
            known[match.groups()] = _measured(*match.groups())
        yield {"command": command, **known[match.groups()]}
        if known[match.groups()]["seconds"] < LONG or int(match[2]) // 2 < SMALLEST:
            return
        command = halved(command)


def _measured(role: str, side: str, steps: str) -> dict[str, Any]:
    from dmix_models.estimate import quick_estimate

    quick = quick_estimate("object" if role == "object" else "background", int(side), int(steps))
    return {"seconds": round(quick.seconds), "memory_bytes": quick.memory, "device": quick.device}


def halved(command: str) -> str:
    """The same training on half the grid, of pictures of half the scale."""
    found = SCALE.search(command)
    scale = f" --scale {(float(found[1]) if found else 1) / 2:.3g}"
    side = int(re.search(r"--size (\d+)", command)[1]) // 2  # type: ignore[index]
    return re.sub(r" --size \d+x\d+", f" --size {side}x{side}{scale}", SCALE.sub("", command))


def as_line(each: dict[str, Any]) -> str:
    """The time and memory of a training, and the command."""
    hours = timedelta(seconds=each["seconds"])
    return f"{hours}, {each['memory_bytes'] / 1e9:.1f} GB on {each['device']}: {each['command']}"
