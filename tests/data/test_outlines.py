"""Outlines of random masks, filled again: by the rule of COCO, and as the trainers of YOLO fill them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dmix_data.components import label
from dmix_data.outlines import drawn, edge_loops, joined, pixel_loops
from dmix_data.segmentations import encoded, mask_of, polygons

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def parts(mask):
    """The connected parts of a mask, each as a mask of its own."""
    labels = label(mask)
    return [labels == number for number in range(1, labels.max() + 1)]


def signed_area(loop):
    """Of a closed line, positive where it runs clockwise as seen on a screen."""
    (x, y), (u, v) = loop.T, np.roll(loop, -1, 0).T
    return (x * v - u * y).sum() / 2


@given(MASKS)
def test_run_lengths_are_read_again(mask):
    assert (mask_of(encoded(mask), mask.shape) == 255 * mask).all()


@given(MASKS)
def test_pycocotools_writes_the_same_run_lengths(mask):
    coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encoded(mask)["counts"] == theirs["counts"].decode()


@given(MASKS)
def test_the_polygon_of_each_part_fills_it_with_its_holes(mask):
    flat = [joined(edge_loops(part)).ravel().tolist() for part in parts(mask)]
    found = np.zeros(mask.shape, np.uint8)
    for each in flat:
        found |= polygons([each], mask.shape)
    assert (found == 255 * mask).all()


@given(MASKS)
def test_a_part_is_drawn_again_from_its_outermost_pixels(mask):
    for part in parts(mask):
        loops = pixel_loops(part)
        if len(loops) == 1:  # between holes, a line may cross them
            assert (drawn(joined(loops), mask.shape) == 255 * part).all()


@given(MASKS)
def test_opencv_draws_the_same_pixels(mask):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    for part in parts(mask):
        loops = pixel_loops(part)
        if len(loops) == 1:
            theirs = np.zeros(mask.shape, np.uint8)
            cv2.fillPoly(theirs, [loops[0].astype(np.int32)], 255)
            assert (drawn(loops[0], mask.shape) == theirs).all()


def test_outer_outlines_run_clockwise_and_those_of_holes_the_other_way():
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert [signed_area(loop) for loop in edge_loops(ring)] == [9, -1]
