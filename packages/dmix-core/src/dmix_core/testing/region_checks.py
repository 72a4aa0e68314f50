"""The conformance check of regions: how a model's grid meets the canvas."""

from collections.abc import Iterator
from functools import partial

import torch
from hypothesis import strategies as st
from torch import Tensor

from ..geometry import Size
from ..protocols import Layer, Region
from ..region import encoded
from .checking import Check, Conformance, Device, Input, Judged, Verdict
from .promises import answered, form, moving, purely, steady


@Conformance
def check_region(region: Region, *, examples: int = 10, device: Device = "cpu", tolerance: float = 1e-4) -> Check:
    """Check a region, and the codec of its denoiser if it has one.

    Promises: it has a name, a height and a fraction to listen from; layers are images
    (B, C, *place.size) with mattes (B, 1, *place.size) in [0, 1]; where an opaque prediction has no matte, they are
    zero; views are of the size that is asked for and keep the range of what they show, and where all belongs to it,
    they show that; what is decoded is a picture, what is encoded a state without mask; dtypes and devices stay, all is
    finite.
    """
    spec = region.denoiser.spec
    of_clean, of_patch = spec.shape, (spec.picture.image_channels, *region.place.size)

    def case(batch: int, seed: int) -> Input:
        lines = [f"import torch\ndraw = torch.Generator().manual_seed({seed})"]
        for name, shape in (("clean", of_clean), ("patch", of_patch)):
            sizes = ", ".join(map(str, (batch, *shape)))
            lines.append(f"{name} = torch.rand({sizes}, generator=draw){moving(device)} * 2 - 1")
        lines.append("region.lay(region.denoiser.spec.decoded(clean)), region.view(patch[:, :1])")
        if spec.codec:
            lines.append("region.denoiser.spec.codec.encode(region.view(patch, region.denoiser.spec.picture.size))")
        return Input((batch, seed), f"batch={batch}, seed={seed}", "\n".join(lines))

    def judge(batch: int, seed: int) -> Iterator[Verdict]:
        draw = torch.Generator().manual_seed(seed)
        clean, patch = (torch.rand(batch, *shape, generator=draw).to(device) * 2 - 1 for shape in (of_clean, of_patch))
        yield from _description(region)
        picture = yield from _decoded(region, clean)
        layer = yield from _layer(region, picture)
        shares = patch[:, :1] / 2 + 0.5
        seen = yield from _view(region, shares)
        yield from steady(lambda x: region.lay(x).image, picture, layer.image, tolerance)
        yield from steady(lambda x: region.lay(x).matte, picture, layer.matte, tolerance)
        yield from steady(region.view, shares, seen, tolerance)
        if spec.codec:
            state = yield from purely(encoded, region, patch)
            yield from form("what it encodes", state, patch, (len(patch), spec.image_channels, *spec.size))
            yield from steady(partial(encoded, region), patch, state, tolerance)

    drawn = st.builds(case, st.integers(1, 3), st.integers(0, 2**32 - 1))
    return Check(drawn, judge, examples, [case(2, 0)])


def _description(region: Region) -> Iterator[Verdict]:
    from_when = region.listen_from
    yield Verdict("its name is a text", isinstance(region.name, str), f"it is {region.name!r}")
    yield Verdict("its z is a whole number", isinstance(region.z, int), f"it is {region.z!r}")
    fits = from_when is None or 0 <= from_when <= 1
    yield Verdict("listen_from is None or within 0..1", fits, f"it is {from_when!r}")


def _decoded(region: Region, clean: Tensor) -> Judged[Tensor]:
    """A clean prediction in pixels."""
    picture = yield from purely(region.denoiser.spec.decoded, clean)
    yield from form("what it decodes", picture, clean, (len(clean), *region.denoiser.spec.picture.shape))
    return picture


def _layer(region: Region, picture: Tensor) -> Judged[Layer]:
    """A clean prediction on its place, of the right form and only where the region is."""
    layer = yield from purely(region.lay, picture)
    yield Verdict("the answer is a Layer", isinstance(layer, Layer), f"it is {type(layer).__name__}")
    counts = region.denoiser.spec.picture.image_channels, 1
    for name, tensor, count in zip(("the image", "the matte"), layer, counts, strict=True):
        yield from form(name, tensor, picture, (len(picture), count, *region.place.size))
    low, high = float(layer.matte.min()), float(layer.matte.max())
    yield Verdict("the matte lies in 0..1", low >= 0 and high <= 1, f"it goes from {low:.4g} to {high:.4g}")
    opaque = yield from answered(region.lay, torch.ones_like(picture[:1]))
    outside = max(float((part * (opaque.matte == 0)).abs().max()) for part in layer)
    yield Verdict("image and matte are zero where an opaque one has no matte", outside == 0, f"up to {outside:.4g}")
    return layer


def _view(region: Region, shares: Tensor) -> Judged[Tensor]:
    """What the grid sees of shares, in [0, 1]."""
    seen = yield from purely(region.view, shares)
    yield from form("the view", seen, shares, (*shares.shape[:2], *region.denoiser.spec.size))
    larger: Size = (region.place.height + 1, region.place.width + 2)
    sized = yield from answered(region.view, shares, larger)
    yield Verdict("a view has the size that is asked for", tuple(sized.shape[-2:]) == larger, f"{(*sized.shape,)}")
    low, high = float(seen.min()), float(seen.max())
    inside = low >= -1e-5 and high <= 1 + 1e-5
    yield Verdict("the view keeps the range of what it shows", inside, f"0..1 becomes {low:.4g}..{high:.4g}")
    whole = yield from answered(region.view, torch.ones_like(shares))
    off = float((whole - 1).abs().max())
    yield Verdict("the view of ones is one", off <= 1e-4, f"off by {off:.4g}")
    return seen
