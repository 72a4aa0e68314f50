"""Which parts of a mask are objects: touching ones come apart, unsuitable ones are left out and counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from dmix_data.components import label
from dmix_data.cutouts import cut_objects
from dmix_data.datasets import ObjectCrops
from dmix_data.exceptions import DataError
from dmix_data.filters import figure_of
from dmix_data.loader import Picture
from dmix_data.objects import box_of, objects_of, why_none
from dmix_data.options import DataOptions
from dmix_data.splitting import split


def mask_of(*boxes, height=40, width=60):
    """A mask of rectangles (y, x, height, width)."""
    mask = np.zeros((height, width), np.uint8)
    for y, x, h, w in boxes:
        mask[y : y + h, x : x + w] = 255
    return mask


def picture(mask):
    return Picture(Path("p"), np.zeros((*mask.shape, 3), np.uint8), mask)


CARS = mask_of((10, 5, 12, 20), (10, 27, 12, 20), (15, 25, 3, 2))  # two, joined by a bridge three pixels high


def test_parts_that_a_narrow_place_joins_come_apart_and_keep_every_pixel():
    pieces = split(CARS > 0, 2)
    assert pieces.max() == 2
    assert ((pieces > 0) == (CARS > 0)).all()
    assert sorted(box_of(pieces == number).x for number in (1, 2)) == [5, 26]  # the bridge is shared


def test_what_is_nowhere_narrow_stays_one_object():
    assert split(CARS > 0, 1).max() == 1  # three pixels are more than twice one
    assert split(mask_of((10, 5, 12, 40)) > 0, 4).max() == 1


def test_a_part_of_which_erosion_leaves_nothing_stays_as_it_is():
    assert split(mask_of((3, 3, 2, 9), (20, 5, 12, 20)) > 0, 2).max() == 2


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.integers(1, 3))
def test_every_pixel_of_a_mask_has_an_owner_and_pieces_lie_in_one_part(mask, necks):
    pieces, parts = split(mask, necks), label(mask)
    assert ((pieces > 0) == mask).all()
    assert sorted({*np.unique(pieces)} - {0}) == [*range(1, pieces.max() + 1)]
    assert all(len(np.unique(parts[pieces == number])) == 1 for number in range(1, pieces.max() + 1))


def test_objects_are_split_where_that_is_asked_for():
    assert len(objects_of(picture(CARS), DataOptions()).numbers) == 1
    assert len(objects_of(picture(CARS), DataOptions(split_touching=2)).numbers) == 2


SHAPES = mask_of((0, 0, 8, 8), (15, 5, 6, 24), (14, 40, 18, 6), (30, 20, 8, 8))  # at the border, wide, narrow, square


@pytest.mark.parametrize(
    ("options", "left", "reasons"),
    [
        ({}, 4, {}),
        ({"skip_truncated": True}, 3, {"truncated by the border of their picture": 1}),
        ({"max_aspect": 2}, 3, {"with a larger aspect than max_aspect": 1}),
        ({"min_aspect": 0.5}, 3, {"with a smaller aspect than min_aspect": 1}),
        (
            {"min_aspect": 0.5, "max_aspect": 2, "skip_truncated": True},
            1,
            {
                "truncated by the border of their picture": 1,
                "with a larger aspect than max_aspect": 1,
                "with a smaller aspect than min_aspect": 1,
            },
        ),
    ],
)
def test_objects_are_left_out_by_shape_and_border_and_counted(options, left, reasons):
    crops = ObjectCrops([picture(SHAPES)], (32, 32), DataOptions(**options))
    others = {"smaller than the crop", "specks", "too large or too close to others"}
    assert {why: count for why, count in crops.skipped.items() if why not in others} == reasons
    assert len(crops) + crops.skipped["too large or too close to others"] == left


TWO = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 2, 2, 2, 0],
        [0, 1, 1, 2, 2, 2, 0],
        [0, 1, 1, 2, 2, 2, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
)


def test_an_object_is_occluded_where_others_touch_its_outline():
    first, second = (figure_of(TWO, number, box_of(number == TWO)) for number in (1, 2))
    assert (first.aspect, first.occlusion, first.truncated) == (2 / 3, 3 / 6, False)
    assert (second.aspect, second.occlusion) == (1, 3 / 8)


@given(arrays(np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 2)))
def test_occlusion_is_a_share_and_none_without_others(labels):
    for number in {*np.unique(labels)} - {0}:
        alone = np.where(labels == number, number, 0)
        assert 0 <= figure_of(labels, number, box_of(labels == number)).occlusion <= 1
        assert figure_of(alone, number, box_of(alone == number)).occlusion == 0


def test_occluded_objects_are_left_out_where_the_data_set_numbers_them():
    numbered = replace(picture(mask_of((1, 1, 3, 5))), stored_objects=np.pad(TWO, ((0, 35), (0, 53))))
    options = DataOptions(min_area=1, max_occlusion=0.4)
    assert objects_of(numbered, options).numbers == [2]
    assert objects_of(numbered, options).left_out == {"with a larger occlusion than max_occlusion": 1}


def test_settings_of_earlier_trainings_are_what_the_defaults_give():
    crops = ObjectCrops([picture(CARS)], (40, 60))
    assert crops.settings == {"scale": 1.0, "min_area": 16, "merge_distance": 4}
    filtered = ObjectCrops([picture(CARS)], (40, 60), DataOptions(max_aspect=5, split_touching=2))
    assert filtered.settings == {**crops.settings, "max_aspect": 5, "split_touching": 2}


def test_when_all_are_left_out_the_error_names_the_options():
    with pytest.raises(DataError, match="1 are left out by min_aspect, max_aspect, max_occlusion, skip_truncated"):
        ObjectCrops([picture(mask_of((0, 0, 8, 8)))], (16, 16), DataOptions(skip_truncated=True))
    objects = objects_of(picture(mask_of((0, 0, 8, 8))), DataOptions(skip_truncated=True))
    assert why_none(objects, DataOptions()) == "all objects are left out: 1 truncated by the border of their picture"


def test_cutting_counts_what_was_left_out_by_reason(tree, tmp_path):
    for number, at in enumerate([(0, 20, 6, 5), (10, 20, 6, 5), (10, 5, 4, 20)]):
        tree.picture(f"images/{number}.png", seed=number)
        tree.mask(f"masks/{number}.png", at=at)
    cut = cut_objects(tree.root, tmp_path / "out", options=DataOptions(skip_truncated=True, max_aspect=3))
    assert len(cut.entries) == 1
    assert cut.left_out == {"truncated by the border of their picture": 1, "with a larger aspect than max_aspect": 1}


@pytest.mark.parametrize(
    "options",
    [
        {"min_aspect": 2, "max_aspect": 1},
        {"min_aspect": -1},
        {"max_aspect": 0},
        {"max_occlusion": 1.1},
        {"split_touching": 65},
    ],
)
def test_bounds(options):
    with pytest.raises(ValidationError):
        DataOptions(**options)
