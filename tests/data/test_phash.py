"""The perceptual hash: as imagehash gives it, and steady under what copies go through."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFilter, ImageOps

from dmix_core.marks import COMPOSITE, GENERATED, mark_of
from dmix_data.crophash import centre_hash
from dmix_data.phash import as_numbers, distances, phash
from dmix_data.provenance import stamped

HASHES = st.integers(0, 2**64 - 1).map("{:016x}".format)


def landscape(seed, size=(96, 72)):
    """A smooth random picture with all shades."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    return ImageOps.autocontrast(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(6)))


def differing(one, other):
    (distance,) = distances(one, as_numbers([other]))
    return int(distance)


@given(arrays(np.uint8, st.tuples(st.integers(8, 60), st.integers(8, 60))))
def test_imagehash_gives_the_same_bits(pixels):
    imagehash = pytest.importorskip("imagehash", reason="imagehash is not installed")
    picture = Image.fromarray(pixels)
    if pixels.std() > 10:  # below, bits are decided by rounding
        assert differing(phash(picture), str(imagehash.phash(picture))) <= 1


@given(HASHES, HASHES)
def test_distances_count_the_bits_that_differ(one, other):
    assert differing(one, other) == (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize("seed", range(4))
def test_an_encoded_and_a_scaled_copy_are_near_and_another_picture_is_far(seed):
    picture = landscape(seed)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=70)
    assert differing(phash(picture), phash(Image.open(encoded))) <= 4
    assert differing(phash(picture), phash(picture.resize((48, 36)))) <= 4
    assert differing(phash(picture), phash(landscape(seed + 100))) > 12


@pytest.mark.parametrize(("real", "source_type"), [(False, GENERATED), (True, COMPOSITE)])
def test_a_stamped_picture_states_what_it_is(real, source_type):
    picture = landscape(0)
    made = stamped(picture, {"seed": 3}, real=real)
    read = Image.open(io.BytesIO(made.content))
    mark = mark_of(read.text["XML:com.adobe.xmp"])
    assert (mark.source_type, mark.recipe) == (source_type, {"seed": 3})
    assert made.phash == phash(picture) == phash(read)
    assert made.centre == centre_hash(picture) == centre_hash(read)
