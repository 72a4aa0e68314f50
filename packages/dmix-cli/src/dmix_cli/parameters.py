"""What may be typed: sizes, objects in boxes, settings."""

import json
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import click


class Count(click.IntRange):
    """A whole number from `least` on that is refused above `most`, before memory is taken for so many.

    `least` is None where the recipe has the lower bound. `most` may be the name of one of dmix_core.limits, which is
    imported when a number is typed, so that help is quick.
    """

    def __init__(self, least: int | None = 1, most: int | str = 1_000_000) -> None:
        super().__init__(min=least)
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        most = _limit(self.most) if isinstance(self.most, str) else self.most
        if number > most:
            self.fail(f"{number} is more than {most}, the most that is allowed.", param, ctx)
        return number


class Finite(click.FloatRange):
    """A number in a range; NaN, which no range keeps out, and infinity are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number.", param, ctx)
        return number


MOST_RESAMPLES = 10_000
MOST_TRIES = 1000
SAMPLES = Count(1, "MOST_SAMPLES")
STEPS = Count(1, "MOST_STEPS")
SEED = Count(0, "HIGHEST_SEED")
MOST_VALUES = 200
"""Of a list or range that is swept."""


class Object(NamedTuple):
    """An object model and the box x, y, width, height that it paints; None: the centre, at its own size."""

    model: str
    box: tuple[int, ...] | None


class Setting(NamedTuple):
    """A setting of a plugin or a region; `owner` is None where only the key was typed."""

    owner: str | None
    key: str
    value: Any


class SizeType(click.ParamType):
    """WxH as (height, width)."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):  # a default
            return value
        match = re.fullmatch(r"(\d+)x(\d+)", value)
        if not match or "0" in match.groups():
            self.fail(f"{value!r}; expected width and height in pixels, such as 128x64.", param, ctx)
        width, height = (int(side[:10]) for side in match.groups())  # more digits are too large anyway
        longest, most = _limit("LONGEST_SIDE"), _limit("MOST_PIXELS")
        if max(width, height) > longest or width * height > most:
            limits = f"at most {longest} pixels a side and {most} in all"
            self.fail(f"{value!r} is too large; expected {limits}.", param, ctx)
        return height, width


class ModelType(click.ParamType):
    """A model or a picture, by name or path."""

    name = "MODEL|IMAGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value.strip():
            self.fail(f"{value!r}; expected a model's name, a checkpoint folder or a picture.", param, ctx)
        return value


class ObjectType(ModelType):
    """MODEL or MODEL@x,y,w,h; an @ that anything but numbers follows belongs to the model."""

    name = "MODEL[@x,y,w,h]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        model, _, place = value.rpartition("@")
        if not re.fullmatch(r"[\d\s,+-]*\d[\d\s,+-]*", place) or "@" not in value:
            return Object(super().convert(value, param, ctx), None)
        super().convert(model, param, ctx)
        numbers = place.split(",")
        if len(numbers) != 4 or not all(re.fullmatch(r"\s*[+-]?\d{1,9}\s*", number) for number in numbers):
            self.fail(
                f"{value!r}; expected MODEL@x,y,w,h in whole pixels, such as defects:break@16,16,64,64.", param, ctx
            )
        return Object(model, tuple(map(int, numbers)))


class SettingType(click.ParamType):
    """[OWNER.]KEY=VALUE; the value is read as JSON, or as text where it is none."""

    name = "[PLUGIN.|REGION.]KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name, equals, text = value.partition("=")
        owner, dot, key = name.rpartition(".")
        if not (equals and key) or (dot and not owner):
            self.fail(
                f"{value!r}; expected KEY=VALUE, PLUGIN.KEY=VALUE or REGION.KEY=VALUE, such as threshold=0.6.",
                param,
                ctx,
            )
        return Setting(owner or None, key.replace("-", "_"), _value(text))


class ShareType(click.ParamType):
    """NAME=F as (name, fraction)."""

    name = "REGION=F"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name, _, text = value.rpartition("=")
        try:
            return name, Finite().convert(text, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r}; expected REGION=FRACTION, such as blowhole=0.7.", param, ctx)


class WrapType(click.ParamType):
    """REGION=WRAPPER as (region, wrapper)."""

    name = "REGION=WRAPPER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        region, _, wrapper = value.rpartition("=")
        if not (region and wrapper):
            self.fail(f"{value!r}; expected REGION=WRAPPER, such as blowhole=classifier-guidance.", param, ctx)
        return region, wrapper


class PercentagesType(click.ParamType):
    """P,P,... as a tuple of numbers in 0..100."""

    name = "P,P,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            percentages = tuple(map(float, value.split(",")))
        except ValueError:
            percentages = ()
        if not percentages or not all(0 <= percentage <= 100 for percentage in percentages):
            self.fail(
                f"{value!r}; expected percentages in 0..100 with commas between, such as 0,50,90,100.", param, ctx
            )
        return percentages


class NamesType(click.ParamType):
    """NAME,NAME,... as a list."""

    name = "NAME,NAME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        names = value.split(",")
        if not all(names) or len({*names}) < len(names):
            self.fail(f"{value!r}; expected different names with commas between, such as crack,hole.", param, ctx)
        return names


class ValuesType(click.ParamType):
    """V,V,... or FIRST:LAST:STEP as a tuple of values, each read as JSON, or as text where it is none."""

    name = "VALUES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = re.fullmatch(r"\s*{0}:{0}:{0}\s*".format(r"([+-]?\d{1,12}(?:\.\d{1,12})?)"), value)
        if match:
            return self._range(value, *map(Decimal, match.groups()), param, ctx)
        parts = [part.strip() for part in value.split(",")]
        if not all(parts):
            self.fail(f"{value!r}; expected values with commas between, such as 0,2,5, or 0.8:0.95:0.05.", param, ctx)
        return tuple(map(_value, parts))

    def _range(self, value: str, first: Decimal, last: Decimal, step: Decimal, *place: Any) -> tuple[Any, ...]:
        if not step or (last - first) / step < 0:
            self.fail(f"{value!r} has no values; expected FIRST:LAST:STEP with a step from first to last.", *place)
        count = int((last - first) / step) + 1
        if count > MOST_VALUES:
            self.fail(f"{value!r} has {count} values; expected at most {MOST_VALUES}.", *place)
        return tuple(_value(str(first + i * step)) for i in range(count))


class SweptType(ValuesType):
    """NAME=VALUES as (prefix and name, values)."""

    name = "NAME=VALUES"

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name, _, text = value.partition("=")
        if not (name and text) or not name.rpartition(".")[2]:
            example = "REGION=VALUES, such as blowhole" if self.prefix else "NAME=VALUES, such as threshold"
            self.fail(f"{value!r}; expected {example}=0.3,0.5.", param, ctx)
        owner, dot, key = name.rpartition(".")
        name = name if self.prefix else f"{owner}{dot}{key.replace('-', '_')}"
        return f"{self.prefix}{name}", super().convert(text, param, ctx)


class PathType(click.Path):
    """A path; text that no path can be, such as with a null character, is wrong use."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            path: Any = super().convert(value, param, ctx)
        except ValueError as error:
            self.fail(f"{value!r} cannot be a path ({error}).", param, ctx)
        if self.exists and not self.dir_okay and not path.is_file():  # a device or a pipe, which may have no end
            self.fail(f"{str(path)!r} is no ordinary file.", param, ctx)
        return path


FILE = PathType(exists=True, dir_okay=False, path_type=Path)
FOLDER = PathType(exists=True, file_okay=False, path_type=Path)
NEW_FOLDER = PathType(path_type=Path)
NEW_FILE = PathType(dir_okay=False, path_type=Path)


def _limit(name: str) -> int:
    from dmix_core import limits

    number: int = getattr(limits, name)
    return number


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
