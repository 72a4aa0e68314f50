"""How a model's grid meets the canvas: boxes, and photographs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmix_core import Box, BoxRegion, Denoiser, NoiseSchedule, Prediction, Region, Spec, StillImage
from dmix_core.errors import ImageError


class Painter:
    """A denoiser that is only asked for what it paints."""

    noise = NoiseSchedule.linear()

    def __init__(self, size, masks=0, channels=3):
        self.spec = Spec(size, channels, masks)

    def __call__(self, x_t, t):
        return Prediction(x_t)


def test_channels_are_those_of_image_and_mask():
    assert Spec((4, 4)).channels == 3
    assert Spec((4, 4), 1, 1).channels == 2


def test_the_protocols_hold():
    assert isinstance(Painter((4, 4)), Denoiser)
    assert isinstance(StillImage(torch.zeros(3, 4, 4)), Denoiser)
    assert isinstance(BoxRegion(Painter((4, 4))), Region)


def test_without_a_box_a_region_lies_in_the_corner_as_large_as_its_grid():
    assert BoxRegion(Painter((4, 6))).place == Box(0, 0, 6, 4)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 3), st.integers(0, 3))
def test_a_layer_is_as_large_as_its_box(height, width, x, y):
    region = BoxRegion(Painter((4, 4), masks=1), Box(x, y, width, height))
    layer = region.lay(torch.rand(2, 4, 4, 4) + 0.1)
    assert (layer.image.shape, layer.matte.shape) == ((2, 3, height, width), (2, 1, height, width))
    assert (layer.matte > 0.5).all()


def test_the_matte_is_the_mask_from_minus_one_to_one():
    clean = torch.tensor([-3.0, -1, -0.5, 0, 1, 2]).view(1, 1, 1, 6).repeat(1, 2, 1, 1)
    layer = BoxRegion(Painter((1, 6), masks=1, channels=1)).lay(clean)
    assert layer.matte.flatten().tolist() == [0, 0, 0.25, 0.5, 1, 1]
    assert torch.equal(layer.image, clean[:, :1])


def test_without_a_mask_channel_the_whole_box_is_owned():
    assert (BoxRegion(Painter((2, 2))).lay(torch.zeros(1, 3, 2, 2)).matte == 1).all()


def test_a_mask_is_resized_before_a_rule_thresholds_it():
    """One of the four pixels that shrink into one is the object's: a quarter, which a threshold then decides."""
    mask = torch.tensor([[1.0, -1], [-1, -1]])[None, None]
    region = BoxRegion(Painter((2, 2), masks=1), Box(0, 0, 1, 1))
    layer = region.lay(torch.cat([torch.zeros(1, 3, 2, 2), mask], dim=1))
    assert layer.matte.item() == 0.25


@given(st.integers(0, 4), st.integers(0, 4))
def test_a_view_of_what_was_laid_is_what_was_painted(x, y):
    clean = torch.rand(2, 3, 4, 4)
    region = BoxRegion(Painter((4, 4)), Box(x, y, 4, 4))
    assert torch.equal(region.view(region.lay(clean).image), clean)


@pytest.mark.parametrize("side", [2, 8])
def test_a_view_is_resized_to_the_grid(side):
    region = BoxRegion(Painter((4, 4)), Box(1, 1, side, side))
    canvas = torch.zeros(1, 3, 10, 10)
    canvas[..., 1 : 1 + side, 1 : 1 + side] = 0.5
    assert torch.allclose(region.view(region.place.crop(canvas)), torch.full((1, 3, 4, 4), 0.5))


def test_a_box_may_be_a_plain_tuple():
    assert BoxRegion(Painter((4, 4)), (1, 2, 3, 4)).place == Box(1, 2, 3, 4)


def test_a_still_image_predicts_itself_whatever_it_is_given():
    photo = torch.rand(3, 4, 6) * 2 - 1
    still = StillImage(photo)
    assert still.spec[:4] == ((4, 6), 3, 0, True)
    clean = still(torch.randn(5, 3, 4, 6), 700).clean
    assert torch.equal(clean, photo.expand(5, 3, 4, 6))


def test_a_still_image_may_be_transparent_in_places():
    cut_out = torch.tensor([[[0.5, 0.5, 0.5]], [[1.0, -1.0, 0.0]]])
    still = StillImage(cut_out, mask_channels=1)
    assert still.spec[:3] == ((1, 3), 1, 1)
    layer = BoxRegion(still).lay(still(torch.randn(1, 2, 1, 3), 9).clean)
    assert layer.matte.flatten().tolist() == [1, 0, 0.5]


def test_a_still_image_is_one_image():
    with pytest.raises(ImageError, match=r"\(C, H, W\); got the shape \(1, 3, 4, 4\)"):
        StillImage(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("image", [torch.full((3, 4, 4), 200.0), torch.full((3, 4, 4), 1, dtype=torch.uint8)])
def test_a_still_image_of_bytes(image):
    with pytest.raises(ImageError, match=r"of floats in \[-1, 1\]; got .*read_image"):
        StillImage(image)
