"""Curves as SVG: a few lines over steps, on a linear or a logarithmic axis, readable on light and dark ground.

Colours are the classes `line-0`, `line-1`, ... and `ground`, to be styled by the page that holds the chart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 230
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 10, 26
POINTS = 160  # of a line; more are averaged
TICKS = 5  # about


@dataclass(frozen=True)
class Line:
    """Values over steps; those that are None, not finite or not positive on a logarithmic axis are left out."""

    name: str
    steps: Sequence[float]
    values: Sequence[float | None]


@dataclass(frozen=True)
class Point:
    """The mean of values that lie side by side, and their range."""

    step: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Axis:
    """Maps values from [low, high] to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / ((high - low) or 1)

    @property
    def ticks(self) -> list[float]:
        """Round values within."""
        return log_ticks(self.low, self.high) if self.log else linear_ticks(self.low, self.high)


def thin(line: Line, log: bool = False, at_most: int = POINTS) -> list[Point]:
    """At most so many points of a line; each is the mean of as many neighbours, in the logarithm on such an axis."""
    pairs = [
        (x, y)
        for x, y in zip(line.steps, line.values, strict=True)
        if y is not None and math.isfinite(y) and (y > 0 or not log)
    ]
    each = max(1, math.ceil(len(pairs) / at_most))
    points = []
    for start in range(0, len(pairs), each):
        steps, values = zip(*pairs[start : start + each], strict=True)
        mean = math.exp(sum(map(math.log, values)) / len(values)) if log else sum(values) / len(values)
        points.append(Point(sum(steps) / len(steps), mean, min(values), max(values)))
    return points


def linear_ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / TICKS or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [count * step for count in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten; where these are few, 2 and 5 times them as well."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if math.log10(high / low) > 3 else (1, 2, 5)
    return [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]


def chart(name: str, lines: Sequence[Line], log: bool = False) -> str:
    """An SVG of the lines; '' if none has a value."""
    thinned = [thin(line, log) for line in lines]
    points = [point for line in thinned for point in line]
    steps = [line.steps for line in lines if line.steps]
    if not points:
        return ""
    across = Axis(min(map(min, steps)), max(map(max, steps)), LEFT, WIDTH - RIGHT)
    low, high = min(p.low for p in points), max(p.high for p in points)
    up = Axis(low if log else min(low, 0.0), high, HEIGHT - BOTTOM, TOP, log)
    drawn = [
        *(_across(tick, across) for tick in across.ticks),
        *(_up(tick, up) for tick in up.ticks),
        *(
            _drawn(number, line.name, each, across, up)
            for number, (line, each) in enumerate(zip(lines, thinned, strict=True))
            if each
        ),
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(drawn)}</svg>'
    )


def _drawn(number: int, name: str, points: Sequence[Point], across: Axis, up: Axis) -> str:
    """A line within the band of its values' range."""
    upper = [f"{across(p.step):.1f},{up(p.high):.1f}" for p in points]
    lower = [f"{across(p.step):.1f},{up(p.low):.1f}" for p in points]
    means = [f"{across(p.step):.1f},{up(p.mean):.1f}" for p in points]
    if len(points) == 1:
        x, y = means[0].split(",")
        return f'<circle class="line-{number}" cx="{x}" cy="{y}" r="3"><title>{escape(name)}</title></circle>'
    return (
        f'<polygon class="band line-{number}" points="{" ".join([*upper, *reversed(lower)])}"/>'
        f'<polyline class="line-{number}" points="{" ".join(means)}"><title>{escape(name)}</title></polyline>'
    )


def _across(tick: float, axis: Axis) -> str:
    x = f"{axis(tick):.1f}"
    return (
        f'<line class="ground" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{x}" y="{HEIGHT - 8}" text-anchor="middle">{short(tick)}</text>'
    )


def _up(tick: float, axis: Axis) -> str:
    y = axis(tick)
    return (
        f'<line class="ground" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>'
    )


def short(value: float) -> str:
    """A tick in a few letters."""
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:.6g}"
