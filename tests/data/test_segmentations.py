"""COCO's segmentations: exact sums, linear time, and no input that takes memory before it is refused."""

import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dmix_data.segmentations import mask_of, polygons, run_lengths, uncompressed

SIZE = (40, 50)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([2**63 - 1, 2**63 - 1, 1922], "runs of 18446744073709553536 pixels for 50x40"),
        ([10**400], "pixels for 50x40"),
        ([-1, 2001], "pixels for 50x40"),
        ([True, 1999], "expected whole numbers"),
        ([2000.0], "expected whole numbers"),
        (None, "expected whole numbers"),
        ("o" * 12 + "0", "a run length of 13 characters"),
        ("é", "the character '\u00c3'|the character '\\?'"),
        ("0oooooo0", "pixels for 50x40"),
    ],
)
def test_lengths_that_are_none_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        run_lengths(counts, SIZE)


@pytest.mark.parametrize("text", ["0" * 400_000, "1" * 400_000, "P0" * 200_000, "o" * 400_000 + "0"])
def test_long_text_is_decoded_in_linear_time(text):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"pixels for|characters"):
        run_lengths(text, SIZE)
    assert time.perf_counter() - start < 0.5  # about 0.08 on an idle core


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [2**31, 2**31], "counts": [2**62]}, "of the size .* not \\[40, 50\\]"),
        ({"size": "x", "counts": [2000]}, "of the size 'x'"),
        ({"counts": [2000]}, "neither a list of polygons nor run lengths"),
        (7, "neither a list of polygons nor run lengths"),
        ([[float("nan")] * 6], "coordinates beyond"),
        ([[1e308] * 6], "coordinates beyond"),
        ([["1"] * 6], "expected a list of numbers"),
        ([7], "expected a list of numbers"),
    ],
)
def test_what_is_no_segmentation_is_refused(segmentation, message):
    with pytest.raises(ValueError, match=message):
        mask_of(segmentation, SIZE)


def centres_inside(corners, size):
    """The pixels with an odd number of edges on their left, edge by edge over the whole mask."""
    y, x = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None, :] + 0.5
    inside = np.zeros(size, bool)
    for ends in zip(corners, np.roll(corners, -1, 0), strict=True):
        # Upwards, so that a centre on an edge lies on the same side of it there and back.
        (x1, y1), (x2, y2) = sorted(ends, key=lambda end: end[1])
        if y1 != y2:
            crossed = (y >= y1) & (y < y2)
            inside ^= crossed & (x >= x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    return inside


coordinates = st.one_of(st.floats(-20, 70), st.integers(-20, 70), st.integers(-40, 140).map(lambda each: each / 2))


@example([(0.0, 0.0), (0.0, 11), (11, 0.0)])  # centres on an edge
@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=12))
def test_a_polygon_covers_the_centres_inside(corners):
    flat = [each for corner in corners for each in corner]
    assert np.array_equal(polygons([flat], SIZE) > 0, centres_inside(np.array(corners, np.float64), SIZE))


def test_a_polygon_of_many_corners_is_filled_soon():
    corners = np.stack([np.arange(20_000) / 10, np.tile([0.0, 1500.0], 10_000)], 1)
    start = time.process_time()
    polygons([corners.ravel().tolist()], (1500, 2000))
    assert time.process_time() - start < 10  # linear takes a second, every corner in every row minutes


def test_no_text_has_no_runs():
    assert uncompressed("") == []
