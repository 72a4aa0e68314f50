"""What the trainings that `dmix data inspect` advises would take on this machine."""

import re
from collections.abc import Sequence
from typing import Any

TRAINING = re.compile(r"dmix train (background|object) .*--size (\d+)x\d+.*--steps (\d+)")


def timings(commands: Sequence[str]) -> list[dict[str, Any]]:
    """Role, side, steps, seconds, bytes and device of each training among the commands; equal ones once."""
    from dmix_models.estimate import quick_estimate

    found = dict.fromkeys(match.groups() for command in commands if (match := TRAINING.match(command)))
    takes = []
    for role, side, steps in found:
        quick = quick_estimate("object" if role == "object" else "background", int(side), int(steps))
        facts = {"role": role, "side": int(side), "steps": int(steps), "seconds": round(quick.seconds)}
        takes.append(facts | {"memory_bytes": quick.memory, "device": quick.device})
    return takes
