"""The soft mask keeps the promises of a merge rule, and does what its README states."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import Layer
from dmix_core.errors import DmixError
from dmix_core.registry import Registry
from dmix_core.testing import check_merge_rule, layers
from dmix_soft_mask import SoftMask, feathered


@pytest.mark.parametrize("feather", [0, 1, 5])
def test_it_is_a_merge_rule(feather):
    check_merge_rule(SoftMask(feather))


def test_the_mask_is_the_alpha():
    below = Layer(torch.full((1, 3, 1, 3), -1.0), torch.ones(1, 1, 1, 3))
    above = Layer(torch.full((1, 3, 1, 3), 1.0), torch.tensor([[[[0.0, 0.25, 1.0]]]]))
    merged = SoftMask()([below, above], 1.0)
    assert merged.weights[1].flatten().tolist() == [0, 0.25, 1]
    assert merged.canvas[0, 0].tolist() == [[-1, -0.5, 1]]


def test_the_edge_fades_inwards_over_the_stated_width():
    matte = torch.zeros(1, 1, 1, 14)
    matte[..., 4:] = 1
    edge = feathered(matte, 2).flatten()
    assert edge[:4].tolist() == [0, 0, 0, 0]
    assert edge[4:9].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert edge[9:].tolist() == [1] * 5


def test_what_is_thinner_than_the_edge_disappears():
    matte = torch.zeros(1, 1, 9, 9)
    matte[..., 3:6] = 1
    assert feathered(matte, 1).amax() == pytest.approx(1 / 3)
    assert feathered(matte, 2).amax() == 0


def test_an_even_mask_stays_and_the_border_of_the_canvas_is_no_edge():
    even = torch.full((1, 1, 7, 7), 0.3)
    assert torch.allclose(feathered(even, 2), even)


@settings(deadline=None, max_examples=30)
@given(layers(), st.integers(0, 4))
def test_no_value_rises_and_nothing_leaks(layers, feather):
    for _, matte in layers:
        soft = feathered(matte, feather)
        assert (soft <= matte + 1e-6).all()
        assert (soft[matte == 0] == 0).all()


@pytest.mark.parametrize("feather", [-1, 65, 10**9])
def test_a_feather_out_of_range_is_refused(feather):
    with pytest.raises(DmixError, match=rf"feather is {feather}; expected 0 .* to 64 pixels"):
        SoftMask(feather=feather)


def test_it_is_found_by_name_where_it_is_installed():
    assert Registry.load().create("merge rule", "soft-mask", {"feather": "3"}) == SoftMask(feather=3)
