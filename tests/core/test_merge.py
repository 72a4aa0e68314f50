"""The paper's merge rule."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmix_core import HardMask, Layer
from dmix_core.errors import CompositionError


@st.composite
def layers(draw, batch=2, size=(3, 4)):
    """1..4 layers of random images; the first is opaque."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    mattes = [torch.rand(batch, 1, *size, generator=random) for _ in range(draw(st.integers(0, 3)))]
    images = [torch.rand(batch, 3, *size, generator=random) * 2 - 1 for _ in range(len(mattes) + 1)]
    return [Layer(image, matte) for image, matte in zip(images, [torch.ones(batch, 1, *size), *mattes], strict=True)]


@given(layers(), st.floats(0, 1))
def test_the_rule_is_pure(pile, progress):
    before = [Layer(*(tensor.clone() for tensor in layer)) for layer in pile]
    first, second = HardMask()(pile, progress), HardMask()(pile, progress)
    assert all(torch.equal(a, b) for a, b in zip(first[:2], second[:2], strict=True))
    assert all(
        torch.equal(a, b) for now, then in zip(pile, before, strict=True) for a, b in zip(now, then, strict=True)
    )


@given(layers(), st.floats(0.01, 1))
def test_every_pixel_is_that_of_the_topmost_region_that_reaches_the_threshold(pile, threshold):
    canvas, weights, _ = HardMask(threshold)(pile, 1.0)
    for b, y, x in [(0, 0, 0), (1, 2, 3), (0, 1, 2)]:
        owner = max(i for i, layer in enumerate(pile) if i == 0 or layer.matte[b, 0, y, x] >= threshold)
        assert weights[:, b, 0, y, x].tolist() == [float(i == owner) for i in range(len(pile))]
        assert torch.equal(canvas[b, :, y, x], pile[owner].image[b, :, y, x])


@given(layers())
def test_the_canvas_stays_within_the_range_of_its_layers(pile):
    images = torch.stack([layer.image for layer in pile])
    canvas = HardMask()(pile, 0.5).canvas
    assert (images.amin(0) <= canvas).all()
    assert (canvas <= images.amax(0)).all()


def test_the_threshold_itself_belongs_to_the_object():
    opaque = torch.ones(1, 1, 1, 3)
    matte = torch.tensor([0.49, 0.5, 0.51]).view(1, 1, 1, 3)
    pile = [Layer(-opaque, opaque), Layer(opaque, matte)]
    assert HardMask()(pile, 1.0).canvas.flatten().tolist() == [-1, 1, 1]
    assert HardMask(threshold=0.505)(pile, 1.0).canvas.flatten().tolist() == [-1, -1, 1]


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_a_threshold_is_above_zero_and_at_most_one(threshold):
    with pytest.raises(CompositionError, match=rf"threshold is {threshold}; expected a number above 0 and at most 1"):
        HardMask(threshold)
