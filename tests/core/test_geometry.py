"""Boxes and resizing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmix_core.errors import GeometryError
from dmix_core.geometry import Box, resize

sides = st.integers(1, 24)


@st.composite
def placed(draw):
    """(a box, the size of a canvas that holds it)."""
    x, y, right, bottom = (draw(st.integers(0, 8)) for _ in range(4))
    box = Box(x, y, draw(sides), draw(sides))
    return box, (y + box.height + bottom, x + box.width + right)


@given(placed())
def test_cropping_what_was_pasted_gives_it_back(place):
    box, size = place
    patch = torch.rand(2, 3, *box.size)
    canvas = box.check_inside(size, "a test").paste(patch, size)
    assert tuple(canvas.shape) == (2, 3, *size)
    assert torch.equal(box.crop(canvas), patch)
    box.crop(canvas).zero_()
    assert not canvas.any()


def test_a_box_counts_columns_by_x_and_rows_by_y():
    canvas = torch.arange(12).view(3, 4)
    assert Box(x=1, y=2, width=3, height=1).crop(canvas).tolist() == [[9, 10, 11]]
    assert Box(x=1, y=2, width=3, height=1).size == (1, 3)


@given(placed(), st.sampled_from(["left", "right", "above", "below"]), st.integers(1, 100))
def test_boxes_partly_or_wholly_outside_are_an_error(place, side, by):
    box, (height, width) = place
    outside = {
        "left": box._replace(x=-by),
        "above": box._replace(y=-by),
        "right": box._replace(x=width - box.width + by),
        "below": box._replace(y=height - box.height + by),
    }[side]
    with pytest.raises(GeometryError, match=rf"leaves the canvas of {width}x{height} pixels; expected 0 <= x <= "):
        outside.check_inside((height, width), "a test")


@pytest.mark.parametrize("box", [Box(0, 0, 0, 4), Box(0, 0, 4, 0), Box(2, 2, -1, 4)])
def test_boxes_have_an_area(box):
    with pytest.raises(GeometryError, match=r"of region 'hole' has no area; expected x,y,width,height"):
        box.check_inside((8, 8), "region 'hole'")


@given(sides, sides, sides, sides)
def test_resizing_keeps_constants_and_range(h, w, to_h, to_w):
    assert torch.allclose(resize(torch.full((1, 1, h, w), 0.7), (to_h, to_w)), torch.tensor(0.7))
    noise = torch.rand(1, 2, h, w)
    resized = resize(noise, (to_h, to_w))
    assert tuple(resized.shape) == (1, 2, to_h, to_w)
    assert noise.min() - 1e-6 <= resized.min() <= resized.max() <= noise.max() + 1e-6


def test_resizing_to_the_same_size_is_the_same_tensor():
    image = torch.rand(1, 1, 3, 5)
    assert resize(image, (3, 5)) is image


def test_shrinking_averages_over_areas():
    image = torch.tensor([[0.0, 1, 2, 3], [4, 5, 6, 7]])[None, None]
    assert resize(image, (1, 2)).flatten().tolist() == [2.5, 4.5]


@given(st.integers(2, 6), st.integers(1, 4))
def test_shrinking_by_a_whole_factor_keeps_the_mean(side, factor):
    image = torch.rand(1, 1, side * factor, side * factor)
    assert resize(image, (side, side)).mean().item() == pytest.approx(image.mean().item(), abs=1e-6)
