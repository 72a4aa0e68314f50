"""Which values of a mask are the object, as text: a rule that belongs to the data set, for no single one is right."""

import re
from typing import NamedTuple

from .exceptions import DataError

LARGEST = 65535
"""The largest value of a mask: 16 bits."""


class Rule(NamedTuple):
    """A mask rule, taken apart.

    Attributes:
        kind: "threshold" (values above `number` are the object), "nonzero", "index" (values equal to `number`, or the
            classes of `names`) or "instance16" (value = 256 * class + number of the object).
        names: the class of each value.
    """

    kind: str
    number: int
    names: dict[int, str]


def parse(rule: str) -> Rule:
    """Take a rule apart: "threshold:N", "nonzero", "index:N", "index:{8: car}" or "instance16:{26: car}".

    Raises:
        DataError: it is none of these, or has a value above 65535.
    """
    if rule == "nonzero":
        return Rule(rule, 0, {})
    if match := re.fullmatch(r"(threshold|index):([0-9]{1,5})", rule):
        return Rule(match[1], _value(match[2], rule), {})
    if match := re.fullmatch(r"(index|instance16):\{(.+)\}", rule):
        pairs = [
            re.fullmatch(r"\s*([0-9]{1,5})\s*:\s*([^\s,:]|[^\s,:][^,:]*[^\s,:])\s*", each)
            for each in match[2].split(",")
        ]
        if all(pairs):
            return Rule(match[1], 0, {_value(pair[1], rule): pair[2] for pair in pairs if pair})
    raise _unknown(rule)


def named(kind: str, names: dict[int, str]) -> str:
    """The rule that gives each value a class: named("index", {8: "car"}) is "index:{8: car}"."""
    return f"{kind}:{{{', '.join(f'{value}: {name}' for value, name in names.items())}}}"


def _value(digits: str, rule: str) -> int:
    if int(digits) > LARGEST:
        raise _unknown(rule)
    return int(digits)


def _unknown(rule: str) -> DataError:
    return DataError(
        f"Unknown mask rule {rule!r}; expected 'threshold:127' (values above 127), 'nonzero', 'index:8', "
        f"'index:{{8: car, 9: person}}' or 'instance16:{{26: car}}', with values of at most {LARGEST}."
    )
