"""Weights that sum to one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmix_core.mattes import blend, stack
from dmix_core.protocols import Layer

ANY = st.floats(0, 1, width=32)


@st.composite
def piles(draw, values=ANY):
    """2..4 mattes (1, 1, 2, 3) from bottom to top; the bottom one is opaque."""
    count = draw(st.integers(1, 3))
    pixels = st.lists(values, min_size=6, max_size=6)
    tops = [torch.tensor(draw(pixels)).view(1, 1, 2, 3) for _ in range(count)]
    return [torch.ones(1, 1, 2, 3), *tops]


@given(piles())
def test_weights_are_shares(mattes):
    weights = stack(mattes)
    assert weights.shape == (len(mattes), 1, 1, 2, 3)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(0), torch.ones(1, 1, 2, 3))


@given(piles())
def test_weights_by_their_formula(mattes):
    """w_i = a_i prod_{j > i} (1 - a_j)."""
    for i, (weight, matte) in enumerate(zip(stack(mattes), mattes, strict=True)):
        expected = matte
        for above in mattes[i + 1 :]:
            expected = expected * (1 - above)
        torch.testing.assert_close(weight, expected)


@given(piles())
def test_weights_stay_where_the_mattes_are(mattes):
    for weight, matte in zip(stack(mattes), mattes, strict=True):
        assert (weight[matte == 0] == 0).all()


@given(piles())
def test_an_opaque_top_wins(mattes):
    weights = stack([*mattes, torch.ones(1, 1, 2, 3)])
    assert (weights[-1] == 1).all()
    assert (weights[:-1] == 0).all()


@given(piles(), st.randoms(use_true_random=False))
def test_disjoint_regions_commute(mattes, shuffle):
    owner = torch.tensor([shuffle.randrange(1, len(mattes)) for _ in range(6)]).view(1, 1, 2, 3)
    apart = [matte * (owner == i) for i, matte in enumerate(mattes)][1:]
    order = shuffle.sample(range(len(apart)), len(apart))
    weights = stack([mattes[0], *apart])
    shuffled = stack([mattes[0], *(apart[i] for i in order)])
    torch.testing.assert_close(shuffled[1:], weights[1:][order])
    torch.testing.assert_close(shuffled[0], weights[0])


@given(piles(values=st.sampled_from([0.0, 1.0])))
def test_hard_mattes_have_one_owner_per_pixel(mattes):
    weights = stack(mattes)
    assert set(weights.unique().tolist()) <= {0.0, 1.0}
    assert (weights.sum(0) == 1).all()


def test_one_background_and_one_object_are_the_papers_masks():
    m = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    background, thing = stack([torch.ones_like(m), m])
    assert torch.equal(thing, m)
    assert torch.equal(background, 1 - m)


def test_the_bottom_owns_what_nobody_claims():
    alone = stack([torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)])
    assert alone.flatten().tolist() == [1.0, 1.0, 1.0]


@given(piles(), st.integers(0, 2**32))
def test_a_blend_stays_within_its_layers_and_leaves_sole_owners_alone(mattes, seed):
    random = torch.Generator().manual_seed(seed)
    layers = [Layer(torch.rand(1, 3, 2, 3, generator=random) * 2 - 1, matte) for matte in mattes]
    images, weights = torch.stack([layer.image for layer in layers]), stack(mattes)
    canvas, same_weights, _ = blend(layers, weights)
    assert same_weights is weights
    assert (canvas <= images.amax(0) + 1e-6).all()
    assert (canvas >= images.amin(0) - 1e-6).all()
    for image, weight in zip(images, weights, strict=True):
        alone = ((weight == 1) & ((weights > 0).sum(0) == 1)).expand_as(image)  # 1 - 1e-8 rounds to 1, and is not alone
        assert torch.equal(canvas[alone], image[alone])


def test_a_blend_by_hand():
    layers = [Layer(torch.full((1, 1, 1, 1), value), torch.ones(1, 1, 1, 1)) for value in (1.0, -1.0)]
    weights = torch.tensor([0.75, 0.25]).view(2, 1, 1, 1, 1)
    assert blend(layers, weights).canvas.item() == pytest.approx(0.5)
