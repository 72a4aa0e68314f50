"""Hypothesis strategies: boxes, layers, walks and noise schedules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from hypothesis import strategies as st
from torch import Tensor

from ..geometry import Box
from ..noise import NoiseSchedule
from ..protocols import Layer, Size, TimestepSchedule
from ..timesteps import Descent, TailResampling

Mattes = Literal["soft", "hard", "empty", "opaque"]


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
        made = [self._layer(box, matte, generator) for box, matte in zip(self.boxes, self.mattes)]
        return [Layer(image.to(device, self.dtype), matte.to(device, self.dtype)) for image, matte in made]

    def supports(self) -> Tensor:
        """(N, 1, 1, H, W) bool: where each region can be."""
        inside = [box.paste(torch.ones(1, 1, *box.size), self.size) for box in self.boxes]
        return torch.stack(inside) > 0

    def _layer(self, box: Box, kind: Mattes, generator: torch.Generator) -> Layer:
        image = torch.rand(self.batch, self.channels, *box.size, generator=generator) * 2 - 1
        soft = torch.rand(self.batch, 1, *box.size, generator=generator)
        matte = {"soft": soft, "hard": soft.round(), "empty": soft * 0, "opaque": soft * 0 + 1}[kind]
        return Layer(box.paste(image, self.size), box.paste(matte, self.size))


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
