"""The conformance check of regions: how a model's grid meets the canvas."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from ..protocols import Layer, Region, Size
from ..region import canvas_spec, encoder
from .promises import Check, Judged, Verdict, alone, answered, form, purely, repeats


def check_region(
    region: Region,
    size: Size,
    *,
    examples: int = 10,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-4,
) -> None:
    """Check a region on a canvas (H, W) of this size.

    Promises: it has a name, a height and a fraction to listen from; layers are images (B, C, H, W) with mattes
    (B, 1, H, W) in [0, 1], both zero outside of its support; views are of the grid's size and keep the range of what
    they show, and where all belongs to it, they say so; what `encode` makes is a state without mask; dtypes and devices
    stay, all is finite; the same input gives the same bits; samples of a batch do not depend on each other; the input
    and the global random generators are left alone.

    Args:
        tolerance: how much a sample may differ alone and in a batch, where sums run in another order.

    Raises:
        BrokenPromise: which promise, by which input, and code to see it again; an AssertionError.
    """
    region_check(region, size, examples, device, tolerance).run()


@dataclass(frozen=True)
class _Placing:
    region: Region
    size: Size
    batch: int
    seed: int
    device: torch.device | str

    def __str__(self) -> str:
        return f"a canvas of {self.size}, batch={self.batch}, seed={self.seed}"

    @property
    def code(self) -> str:
        moved = "" if str(self.device) == "cpu" else f".to({str(self.device)!r})"
        lines = [f"import torch\ndraw = torch.Generator().manual_seed({self.seed})"]
        for name, shape in zip(("clean", "canvas"), self.shapes):
            sizes = ", ".join(map(str, shape))
            lines.append(f"{name} = torch.rand({sizes}, generator=draw){moved} * 2 - 1")
        encoded = ", region.encode(canvas)" if encoder(self.region) else ""
        return "\n".join([*lines, f"region.lay(clean, {self.size}), region.view(canvas[:, :1]){encoded}"])

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of a clean prediction, and of a picture of the canvas."""
        return (self.batch, *self.region.denoiser.spec.shape), (self.batch, self.channels, *self.size)

    @property
    def channels(self) -> int:
        return canvas_spec(self.region).image_channels

    def tensors(self) -> list[Tensor]:
        draw = torch.Generator().manual_seed(self.seed)
        return [torch.rand(shape, generator=draw).to(self.device) * 2 - 1 for shape in self.shapes]


def region_check(
    region: Region,
    size: Size,
    examples: int = 10,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-4,
) -> Check[_Placing]:
    """What check_region runs."""

    def judge(case: _Placing) -> Iterator[Verdict]:
        yield from _description(region)
        clean, canvas = case.tensors()
        layer = yield from _layer(region, clean, size, case.channels)
        shares = canvas[:, :1] / 2 + 0.5
        seen = yield from _view(region, shares)
        laid = [(layer.image, lambda x: region.lay(x, size).image), (layer.matte, lambda x: region.lay(x, size).matte)]
        for answer, ask in laid:
            yield from _steady(answer, ask, clean, tolerance)
        yield from _steady(seen, region.view, shares, tolerance)
        if encode := encoder(region):
            state = yield from purely(encode, canvas)
            spec = region.denoiser.spec
            yield from form("what it encodes", state, canvas, (len(canvas), spec.image_channels, *spec.size))
            yield from _steady(state, encode, canvas, tolerance)

    drawn = st.builds(
        _Placing, st.just(region), st.just(size), st.integers(1, 3), st.integers(0, 2**32 - 1), st.just(device)
    )
    return Check(drawn, judge, examples, [_Placing(region, size, 2, 0, device)])


def _description(region: Region) -> Iterator[Verdict]:
    from_when = region.listen_from
    yield Verdict("its name is a text", isinstance(region.name, str), f"it is {region.name!r}")
    yield Verdict("its z is a whole number", isinstance(region.z, int), f"it is {region.z!r}")
    fits = from_when is None or 0 <= from_when <= 1
    yield Verdict("listen_from is None or within 0..1", fits, f"it is {from_when!r}")


def _layer(region: Region, clean: Tensor, size: Size, channels: int) -> Judged[Layer]:
    """A clean prediction on the canvas, of the right form and nowhere else."""
    layer = yield from purely(region.lay, clean, size)
    yield Verdict("the answer is a Layer", isinstance(layer, Layer), f"it is {type(layer).__name__}")
    for name, tensor, count in zip(("the image", "the matte"), layer, (channels, 1)):
        yield from form(name, tensor, clean, (len(clean), count, *size))
    low, high = float(layer.matte.min()), float(layer.matte.max())
    yield Verdict("the matte lies in 0..1", low >= 0 and high <= 1, f"it goes from {low:.4g} to {high:.4g}")
    support = yield from _support(region, clean, size)
    outside = max(float((part * ~support).abs().max()) for part in layer)
    yield Verdict("image and matte are zero outside of the support", outside == 0, f"up to {outside:.4g}")
    return layer


def _support(region: Region, clean: Tensor, size: Size) -> Judged[Tensor]:
    """(1, 1, H, W) bool: where it can be."""
    if not hasattr(region, "support"):
        layer = yield from answered(region.lay, torch.ones_like(clean[:1]), size)
        return layer.matte > 0
    support: Tensor = yield from answered(region.support, size)
    yield Verdict("the support is (1, 1, H, W)", (*support.shape,) == (1, 1, *size), f"{(*support.shape,)}")
    return support.to(clean.device) > 0


def _view(region: Region, shares: Tensor) -> Judged[Tensor]:
    """What the grid sees of a canvas of shares, in [0, 1]."""
    seen = yield from purely(region.view, shares)
    yield from form("the view", seen, shares, (*shares.shape[:2], *region.denoiser.spec.size))
    low, high = float(seen.min()), float(seen.max())
    inside = low >= -1e-5 and high <= 1 + 1e-5
    yield Verdict("the view keeps the range of what it shows", inside, f"0..1 becomes {low:.4g}..{high:.4g}")
    whole = yield from answered(region.view, torch.ones_like(shares))
    off = float((whole - 1).abs().max())
    yield Verdict("the view of ones is one", off <= 1e-4, f"off by {off:.4g}")
    return seen


def _steady(answer: Tensor, ask: Callable[[Tensor], Tensor], given: Tensor, tolerance: float) -> Iterator[Verdict]:
    """Asked again it is the same, and so it is for each sample alone."""
    again = yield from answered(ask, given)
    yield from repeats([answer], [again])
    for b in range(len(given)):
        single = yield from answered(ask, given[b : b + 1])
        yield from alone(b, single, answer, tolerance)
