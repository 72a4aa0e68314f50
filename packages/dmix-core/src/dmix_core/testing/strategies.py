"""Hypothesis strategies: boxes, layers, moves between levels, walks and noise schedules."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from hypothesis import strategies as st
from torch import Tensor

from ..composition import Composition, finish
from ..exporters import RunInfo
from ..geometry import Box, Size
from ..meeting import Canvas, Meeting
from ..merge import HardMask
from ..noise import NoiseSchedule
from ..protocols import Layer, Prediction, Spec, TimestepSchedule
from ..recipe import Recipe
from ..region import BoxRegion
from ..sample import Sample
from ..timesteps import Descent, TailResampling
from ..windows import Window
from .denoisers import GaussianDenoiser

Mattes = Literal["soft", "hard", "empty", "opaque"]
Table = Literal["linear", "cosine"]
Moved = tuple[NoiseSchedule, Tensor, Prediction, Tensor, int, int]
"""A stepper's arguments, but for its state."""


@dataclass(frozen=True)
class Scene:
    """A recipe for layers, short enough to read in a failed test.

    Attributes:
        size: (H, W) of the canvas.
        boxes: the regions' places from bottom to top; the bottom one covers the canvas.
        mattes: for each region what its matte looks like inside its box; the bottom one's is opaque.
        batch: B. channels: C. seed: of the pixels.
    """

    size: Size
    boxes: tuple[Box, ...]
    mattes: tuple[Mattes, ...]
    batch: int = 1
    channels: int = 3
    seed: int = 0
    dtype: torch.dtype = torch.float32

    def layers(self, device: torch.device | str = "cpu") -> list[Layer]:
        """The layers, the same at every call."""
        generator = torch.Generator().manual_seed(self.seed)
        made = [self._layer(box, matte, generator) for box, matte in zip(self.boxes, self.mattes, strict=True)]
        return [Layer(image.to(device, self.dtype), matte.to(device, self.dtype)) for image, matte in made]

    def composition(self, names: Sequence[str] = ()) -> Composition:
        """The layers under the hard mask, as a finished composition."""
        spec, layers, rule = Spec(self.size, self.channels), self.layers(), HardMask()
        named = zip(self.boxes, self._names(names), strict=True)
        regions = [BoxRegion(GaussianDenoiser(spec), box, name) for box, name in named]
        laid = [Layer(*map(box.crop, layer)) for box, layer in zip(self.boxes, layers, strict=True)]
        window = Window(Box(0, 0, self.size[1], self.size[0]), tuple(range(len(layers))))
        return finish(Canvas(self.size, regions, laid, [Meeting(window, layers, rule(layers, 1.0))]), rule)

    def samples(self, names: Sequence[str] = ()) -> list[Sample]:
        """The samples of that composition, as an exporter's writer is given them."""
        return list(self.composition(names).samples())

    def run(self, names: Sequence[str] = ()) -> RunInfo:
        """What an exporter is given beforehand: a run with regions of these names in these boxes."""
        return RunInfo(self.size, tuple(self._names(names)), range(self.batch), self.channels == 1, self._recipe(names))

    def _recipe(self, names: Sequence[str]) -> dict[str, Any]:
        regions = [
            {"name": name, "model": "tiles", "box": tuple(box), "z": z}
            for z, (name, box) in enumerate(zip(self._names(names), self.boxes, strict=True))
        ]
        made = Recipe.from_data({"regions": regions, "samples": range(self.batch), "seed": self.seed})
        return made.model_dump(mode="json")

    def supports(self) -> Tensor:
        """(N, 1, 1, H, W) bool: where each region can be."""
        inside = [box.paste(torch.ones(1, 1, *box.size), self.size) for box in self.boxes]
        return torch.stack(inside) > 0

    def _names(self, given: Sequence[str]) -> Sequence[str]:
        return given or [f"region {number}" for number in range(len(self.boxes))]

    def _layer(self, box: Box, kind: Mattes, generator: torch.Generator) -> Layer:
        image = torch.rand(self.batch, self.channels, *box.size, generator=generator) * 2 - 1
        soft = torch.rand(self.batch, 1, *box.size, generator=generator)
        matte = {"soft": soft, "hard": soft.round(), "empty": soft * 0, "opaque": soft * 0 + 1}[kind]
        return Layer(box.paste(image, self.size), box.paste(matte, self.size))


@dataclass(frozen=True)
class Move:
    """A recipe for what a stepper is given, short enough to read in a failed test.

    Attributes:
        steps: T, to which a table of 1000 levels is respaced.
        t: the level to leave. s: the level to reach, below t.
        earlier: the level of the descent before, above t; None: there was none.
        spread: whether the denoiser has learned variances.
        shape: (B, C+M, h, w).
        seed: of all numbers.
    """

    steps: int
    t: int
    s: int
    earlier: int | None = None
    spread: bool = False
    table: Table = "linear"
    shape: tuple[int, int, int, int] = (1, 3, 4, 4)
    seed: int = 0

    @property
    def noise(self) -> NoiseSchedule:
        return _respaced(self.table, self.steps)

    def inputs(self, device: torch.device | str = "cpu") -> Moved:
        """A stepper's arguments: a clean image, noised to level t, and a prediction of it that is off."""
        return self._inputs(self.t, self.s, 0.9, device)

    def inputs_before(self, device: torch.device | str = "cpu") -> Moved | None:
        """The same for the move before, from the earlier level down to t; None where there was none."""
        return None if self.earlier is None else self._inputs(self.earlier, self.t, 0.8, device)

    def _inputs(self, t: int, s: int, right: float, device: torch.device | str) -> Moved:
        generator = torch.Generator().manual_seed(self.seed)
        clean, off = torch.rand(2, *self.shape, generator=generator) * 2 - 1
        eps, z = torch.randn(2, *self.shape, generator=generator).to(device)
        spread = torch.rand(self.shape, generator=generator).to(device) if self.spread else None
        prediction = Prediction((right * clean + (1 - right) * off).to(device), spread)
        return self.noise, self.noise.diffuse(clean.to(device), 0, t, eps), prediction, z, t, s


@cache
def _respaced(table: Table, steps: int) -> NoiseSchedule:
    tables = {"linear": NoiseSchedule.linear, "cosine": NoiseSchedule.cosine}
    return tables[table](1000).respace(steps)


@st.composite
def moves(draw: st.DrawFn, most: int = 250) -> Move:
    """Moves between any two of up to this many levels."""
    steps = draw(st.integers(1, most))
    t = draw(st.integers(1, steps))
    before = st.integers(t + 1, steps) if t < steps else st.none()
    return Move(
        steps,
        t,
        s=draw(st.integers(0, t - 1)),
        earlier=draw(st.none() | before),
        spread=draw(st.booleans()),
        table=draw(st.sampled_from(("linear", "cosine"))),
        shape=(
            draw(st.integers(1, 3)),
            draw(st.sampled_from((1, 3, 4))),
            draw(st.integers(1, 5)),
            draw(st.integers(1, 5)),
        ),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


@st.composite
def boxes(draw: st.DrawFn, size: Size) -> Box:
    """Boxes with area inside a canvas of this size (H, W)."""
    height, width = draw(st.integers(1, size[0])), draw(st.integers(1, size[1]))
    y, x = draw(st.integers(0, size[0] - height)), draw(st.integers(0, size[1] - width))
    return Box(x, y, width, height)


@st.composite
def scenes(
    draw: st.DrawFn,
    regions: int = 4,
    side: int = 12,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.float64),
) -> Scene:
    """Scenes of up to this many regions and pixels a side; the bottom region covers the canvas."""
    size = draw(st.integers(1, side)), draw(st.integers(1, side))
    above = draw(st.lists(boxes(size), max_size=regions - 1))
    kinds: list[Mattes] = [draw(st.sampled_from(("soft", "hard", "empty", "opaque"))) for _ in range(len(above))]
    return Scene(
        size,
        (Box(0, 0, size[1], size[0]), *above),
        ("opaque", *kinds),
        batch=draw(st.integers(1, 3)),
        channels=draw(st.sampled_from((1, 3))),
        seed=draw(st.integers(0, 2**32 - 1)),
        dtype=draw(st.sampled_from(list(dtypes))),
    )


def layers(regions: int = 4, side: int = 12) -> st.SearchStrategy[list[Layer]]:
    """Layers from bottom to top, float32, of up to this many regions and pixels a side."""
    return scenes(regions, side, (torch.float32,)).map(Scene.layers)


@st.composite
def walks(draw: st.DrawFn, steps: int | None = None, most: int = 60) -> list[int]:
    """Walks over `steps` levels (1..most if not given): plain descents and tail resamplings."""
    steps = steps or draw(st.integers(1, most))
    tail = TailResampling(draw(st.integers(1, steps)), draw(st.integers(0, 3)))
    schedules: tuple[TimestepSchedule, ...] = (Descent(), tail)
    return list(draw(st.sampled_from(schedules))(steps))


@st.composite
def noise_schedules(draw: st.DrawFn, most: int = 1000) -> NoiseSchedule:
    """Linear and cosine schedules of 21..most steps, and such that were respaced from them."""
    steps = draw(st.integers(21, most))  # shorter linear tables have betas of 1 and more
    schedule = draw(st.sampled_from((NoiseSchedule.linear, NoiseSchedule.cosine)))(steps)
    return schedule.respace(draw(st.integers(1, steps))) if draw(st.booleans()) else schedule
