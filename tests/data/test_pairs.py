"""Pairs: with each object a window of the same photograph that shows none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from dmix_data.augment import Augmentation
from dmix_data.batches import ANY, Batches
from dmix_data.datasets import NONE, OBJECT, ObjectCrops, Pairs, Part, facts, has_pairs, object_crops, show_objects
from dmix_data.exceptions import DataError
from dmix_data.layouts import Record
from dmix_data.loader import Picture
from dmix_data.options import DataOptions

SIZE = (12, 12)
WITHOUT = "without a window free of objects"


def mask_of(*boxes, height=40, width=60):
    """A mask of rectangles (y, x, height, width)."""
    mask = np.zeros((height, width), np.uint8)
    for y, x, h, w in boxes:
        mask[y : y + h, x : x + w] = 255
    return mask


def picture(mask, number=0, group=None, class_name=None):
    """Its colours tell the row, the column and the number of the picture."""
    y, x = np.indices(mask.shape)
    pixels = np.stack([y, x, np.full(mask.shape, number)], 2).astype(np.uint8)
    path = Path(f"{number}.png")
    source = Record(path, group=group) if group else None
    return Picture(path, pixels, mask, class_name=class_name, source=source)


def windows(pairs, cuts=20):
    """Many cuts of the items without an object: each as the item, its picture's number, and its corner."""
    for item in range(len(pairs.crops), len(pairs)):
        for draw in range(cuts):
            crop = pairs.cut(item, np.random.default_rng(draw))
            assert (crop.shape, crop.dtype) == ((*SIZE, 4), np.uint8)
            assert not crop[..., 3].any()
            y, x, number = (int(value) for value in crop[0, 0, :3])
            yield item, number, (y, x)


@st.composite
def masks(draw):
    sides = [st.integers(0, limit) for limit in (34, 54)]
    boxes = draw(st.lists(st.tuples(*sides, st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4))
    return mask_of(*boxes)


@given(st.lists(masks(), min_size=1, max_size=3), st.sampled_from([1, 6]))
def test_windows_show_no_pixel_of_an_object_and_are_of_the_same_photograph(drawn, min_area):
    pictures = [picture(mask, number) for number, mask in enumerate(drawn)]
    try:
        crops = ObjectCrops(pictures, SIZE, DataOptions(min_area=min_area))
    except DataError:
        assume(False)
    pairs = Pairs(crops)
    assert len(pairs) + pairs.skipped[WITHOUT] == 2 * len(crops)
    for item, number, (y, x) in windows(pairs, cuts=5):
        assert number == int(crops.items[item - len(crops)][0].path.stem)  # none is without a window here
        assert not drawn[number][y : y + SIZE[0], x : x + SIZE[1]].any()  # specks of less than min_area included
        assert [y, x] in pairs.place(item).corners.tolist()


@given(masks())
def test_a_place_has_every_window_without_an_object_and_no_other(mask):
    try:
        pairs = Pairs(ObjectCrops([picture(mask)], SIZE, DataOptions(min_area=1)))
    except DataError:
        assume(False)
    corners = pairs.place(len(pairs.crops)).corners
    free = [[y, x] for y in range(29) for x in range(49) if not mask[y : y + 12, x : x + 12].any()]
    assert corners.tolist() == free


def test_objects_come_first_and_are_cut_as_they_are_alone():
    crops = ObjectCrops([picture(mask_of((3, 3, 5, 5), (20, 30, 6, 6)))], SIZE)
    pairs = Pairs(crops)
    assert (len(crops), len(pairs)) == (2, 4)
    for item in range(2):
        first, second = (each.cut(item, np.random.default_rng(item)) for each in (crops, pairs))
        assert np.array_equal(first, second)
        assert pairs.place(item).corners is crops.place(item).corners


def test_classes_are_those_of_the_objects_or_one_for_all():
    pictures = [picture(mask_of((3, 3, 5, 5)), number, f"tile {number}", "ab"[number]) for number in range(2)]
    crops = ObjectCrops(pictures, SIZE)
    apart, together = Pairs(crops), Pairs(crops, together=True)
    assert apart.class_names == ["a", "b", NONE, NONE]
    assert together.class_names == [OBJECT, OBJECT, NONE, NONE]
    for pairs in (apart, together):
        places = [pairs.place(item) for item in range(4)]
        assert [place.class_name for place in places] == pairs.class_names
        assert [place.group for place in places] == ["tile 0", "tile 1"] * 2
        assert show_objects(pairs) == [True, True, False, False]
    assert show_objects(Part(apart, [0, 3])) == [True, False]


def test_objects_whose_photograph_is_full_stay_alone_and_are_counted(caplog):
    crowded = mask_of(*((y, x, 5, 5) for y in range(3, 40, 12) for x in range(3, 60, 12)))
    pictures = [picture(crowded, 0), picture(mask_of((3, 3, 5, 5)), 1)]
    crops = ObjectCrops(pictures, SIZE)
    pairs = Pairs(crops)
    alone = len(crops) - 1
    assert alone >= 10
    assert (len(pairs), pairs.skipped[WITHOUT]) == (len(crops) + 1, alone)
    assert {number for _, number, _ in windows(pairs)} == {1}
    assert f"{alone} of {len(crops)} objects are learned without a window free of objects" in caplog.text
    with pytest.raises(DataError, match=rf"No photograph of the {alone} objects has a window of 12x12"):
        Pairs(ObjectCrops(pictures[:1], SIZE))


def test_a_class_of_that_name_is_refused():
    crops = ObjectCrops([picture(mask_of((3, 3, 5, 5)), 0, class_name=NONE)], SIZE)
    with pytest.raises(DataError, match="1 of 1 objects are of the class 'none', which pairs give to windows"):
        Pairs(crops)
    assert show_objects(crops) == [True]  # without pairs it is a class as any other


def test_settings_tell_pairs_only_where_there_are_some():
    crops = ObjectCrops([picture(mask_of((3, 3, 5, 5)))], SIZE)
    pairs = Pairs(crops)
    assert not has_pairs(crops)
    assert has_pairs(Part(pairs, [0]))
    assert facts(crops).keys() == facts(pairs).keys() - {"pairs"}
    assert WITHOUT not in crops.skipped


@pytest.fixture
def two_classes(tmp_path):
    """Photographs with a square of each of two classes."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        values = np.zeros((60, 100), np.uint8)
        values[3:9, 3:9], values[20:30, 20:50] = 1, 2
        pixels = picture(values, number).pixels
        Image.fromarray(pixels).save(tmp_path / f"images/{number}.png")
        Image.fromarray(values).save(tmp_path / f"masks/{number}.png")
    return tmp_path


@pytest.mark.parametrize("factor", [1, 2])
def test_objects_of_classes_that_are_not_learned_are_kept_out(two_classes, factor):
    options = DataOptions(classes=("a",), mask_rule="index:{1: a, 2: b}", pairs=True, scale=1 / factor, min_area=4)
    pairs = object_crops(two_classes, SIZE, options)
    assert pairs.class_names == ["a", "a", NONE, NONE]
    values = np.asarray(Image.open(two_classes / "masks/0.png"))
    shown = values.reshape(60 // factor, factor, 100 // factor, factor).any((1, 3))
    corners = pairs.place(2).corners
    assert len(corners)
    assert not any(shown[y : y + 12, x : x + 12].any() for y, x in corners)
    objects = object_crops(two_classes, SIZE, options.model_copy(update={"pairs": False}))
    assert isinstance(objects, ObjectCrops)


def test_any_never_stands_for_a_window_without_an_object():
    pictures = [picture(mask_of((3, 3, 5, 5)), number, class_name="ab"[number % 2]) for number in range(4)]
    pairs = Pairs(ObjectCrops(pictures, SIZE))
    classes = ("a", "b", NONE, ANY)
    batches = Batches(pairs, Augmentation(), 10, 8, 0, classes, label_dropout=0.7)
    labels = {True: set(), False: set()}
    for step in range(20):
        batch = batches(step)
        for clean, label in zip(batch.clean, batch.labels, strict=True):
            labels[bool((clean[3] > 0).any())].add(classes[int(label)])
    assert labels == {True: {"a", "b", ANY}, False: {NONE}}
