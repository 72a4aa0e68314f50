"""The hash of a picture's centre: it finds crops, of any place and in other encodings, and leaves others alone."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageOps

from dmix_data.crophash import BITS, SCALES, SIDE, as_signs, centre_hash, nearest
from dmix_data.detection import NEAR_CROP


def textured(seed, size=(120, 90)):
    """A random picture with structure of every size."""
    rng, width = np.random.default_rng(seed), (size[1], size[0])
    layers = [
        Image.fromarray(rng.integers(0, 256, width, np.uint8)).filter(ImageFilter.GaussianBlur(blur))
        for blur in (2, 4, 8)
    ]
    summed = np.sum([np.asarray(ImageOps.autocontrast(layer), float) for layer in layers], axis=0)
    return Image.fromarray((summed / 3).astype(np.uint8))


KNOWN = as_signs([centre_hash(textured(seed)) for seed in range(12)])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 11), st.tuples(*4 * [st.floats(0, 1)]))
def test_a_crop_of_up_to_a_fifth_of_each_side_is_found(seed, place):
    picture = textured(seed)
    width, height = (round(side * (1 - 0.2 * cut)) for side, cut in zip(picture.size, place[:2], strict=True))
    x, y = round((picture.width - width) * place[2]), round((picture.height - height) * place[3])
    found = nearest(picture.crop((x, y, x + width, y + height)), KNOWN)
    assert found.place == seed
    assert found.distance <= NEAR_CROP


def test_a_crop_that_was_scaled_and_encoded_again_is_found():
    crop, buffer = textured(3).crop((4, 6, 110, 80)).resize((80, 56)), io.BytesIO()
    crop.save(buffer, "JPEG", quality=70)
    found = nearest(Image.open(buffer), KNOWN)
    assert (found.place, found.distance <= NEAR_CROP) == (3, True)


@pytest.mark.parametrize("seed", range(20, 26))
def test_another_picture_is_far(seed):
    assert nearest(textured(seed), KNOWN).distance > NEAR_CROP + 8


def test_the_middle_stays_in_every_crop_that_is_promised():
    """A window of the middle fits what is left of four fifths, at the smallest scale that is tried."""
    assert min(SCALES) * 5 == max(SCALES) * 4
    assert 2 * min(SCALES) >= max(SCALES) + SIDE


def test_hashes_are_numbers_of_256_bits_and_equal_pictures_agree():
    assert len(centre_hash(textured(0))) * 4 == BITS
    assert nearest(textured(5), KNOWN) == (5, 0)
