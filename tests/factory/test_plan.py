"""The plan: what each sample shows, from the settings alone."""

import tracemalloc
from collections import Counter
from itertools import combinations, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dmix_core.errors import GeometryError
from dmix_core.geometry import Box
from dmix_factory import GenerateConfig, plan
from dmix_factory.bundles import split_of, splits_of
from dmix_factory.generate_config import ConfigError
from dmix_factory.measured import RealObject, real_objects
from dmix_factory.placement import Placement
from dmix_factory.plan_draws import Draws
from dmix_factory.sources import Background, Sources
from dmix_factory.traits import Traits

PHOTOS = tuple(Background(f"{i}.png", f"photo:/{i}.png", (100, 120)) for i in range(7))


def config(**changes) -> GenerateConfig:
    return GenerateConfig.from_data({"backgrounds": "normal", "objects": ["disc"], "n": 20, **changes})


def sources(backgrounds=PHOTOS, sizes=((12, 16),), **more) -> Sources:
    models = {"masked": (True,) * len(sizes), "multiples": (None,) * len(sizes)}
    return Sources(backgrounds, len(backgrounds) > 1, sizes, **(models | more))


def test_a_record_depends_on_its_number_alone():
    whole = list(plan(config(per_image="1-3"), sources()))
    assert list(plan(config(per_image="1-3"), sources(), range(11, 14))) == whole[11:14]
    assert list(plan(config(per_image="1-3", n=15), sources())) == whole[:15]


def test_another_seed_or_attempt_draws_other_boxes_on_the_same_side():
    first, again = (next(plan(config(val=0.3), sources(), attempt=attempt)) for attempt in (0, 1))
    assert first.objects != again.objects
    assert first.seed != again.seed
    assert (first.background, first.split) == (again.background, again.split)
    assert next(plan(config(seed=1), sources())).seed != first.seed


def test_the_draws_are_the_same_on_every_machine():
    draws = Draws(0, 3, "sample", 0)
    assert [draws.below(1000) for _ in range(4)] == PINNED
    assert next(plan(config(), sources())).objects[0].box == PINNED_BOX


def test_photographs_are_used_evenly_and_stand_on_one_side():
    records = list(plan(config(n=50, val=0.3, test=0.2), sources()))
    uses = Counter(record.background.name for record in records)
    assert max(uses.values()) - min(uses.values()) <= 1
    sides = {(record.background.name, record.split) for record in records}
    assert len(sides) == len(PHOTOS)
    assert {side for _, side in sides} == {"train", "val", "test"}


@given(groups=st.integers(1, 300), val=st.floats(0, 0.5), test=st.floats(0, 0.4))
def test_shares_are_kept_to_within_a_group(groups, val, test):
    counts = Counter(splits_of([1] * groups, val, test))
    if val * groups >= 1 and test * groups >= 1:
        assert abs(counts["val"] - val * groups) <= 1
        assert abs(counts["test"] - test * groups) <= 1


@given(share=st.floats(0, 0.9))
def test_shares_of_a_model_s_samples_come_out_even_however_many_there_are(share):
    sides = [split_of(i, share, 0) for i in range(1000)]
    for count in (10, 100, 1000):
        assert abs(sides[:count].count("val") - share * count) <= 4


@given(
    sizes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=4),
    distance=st.integers(0, 5),
    seed=st.integers(0, 10**6),
)
def test_boxes_lie_on_the_canvas_and_keep_their_distance(sizes, distance, seed):
    boxes = Placement(min_distance=distance).boxes(sizes, (90, 110), Draws(seed), "the canvas")
    assert [box.size for box in boxes] == sizes
    for box in boxes:
        box.check_inside((90, 110), "it")
    for one, other in combinations(boxes, 2):
        grown = one.grown(distance, (90, 110)).shared(other)
        assert not grown.width * grown.height


@given(seed=st.integers(0, 10**6))
def test_boxes_overlap_at_most_so_much(seed):
    one, other = Placement(max_overlap=0.25).boxes([(20, 20)] * 2, (30, 40), Draws(seed), "the canvas")
    shared = one.shared(other)
    assert shared.width * shared.height <= 0.25 * 400


@given(seed=st.integers(0, 10**6))
def test_boxes_lie_wholly_in_the_region_of_interest(seed):
    roi = np.zeros((60, 80), bool)
    roi[10:30, 40:70] = True
    (box,) = Placement(roi=roi).boxes([(8, 9)], (60, 80), Draws(seed), "the canvas")
    assert box.shared(Box(40, 10, 30, 20)) == box


@pytest.mark.parametrize(
    ("rules", "sizes", "message"),
    [
        (Placement(min_distance=30), [(20, 20)] * 5, "5 boxes .* min_distance 30"),
        (Placement(max_overlap=0.1), [(50, 50)] * 4, "max_overlap 0.1"),
        (Placement(), [(61, 20)], "20x61 pixels does not fit on the canvas of 80x60"),
        (Placement(roi=np.zeros((60, 80), bool)), [(4, 4)], "wholly in the region of interest `roi`"),
        (Placement(roi=np.ones((60, 81), bool)), [(4, 4)], "has 81x60 pixels, the canvas 80x60"),
    ],
)
def test_boxes_that_cannot_be_placed_are_an_error_that_names_the_rule(rules, sizes, message):
    with pytest.raises(GeometryError, match=message):
        rules.boxes(sizes, (60, 80), Draws(0), "the canvas")


def test_classes_are_drawn_by_weight():
    two = config(objects=["disc", "crack,class=line,weight=3"], n=400)
    records = plan(two, sources(sizes=((12, 16), (8, 8))))
    counts = Counter(record.objects[0].choice for record in records)
    assert 230 < counts[1] < 370
    assert two.classes == ("disc", "line")


def test_the_number_of_objects_is_drawn_within_its_range():
    counts = Counter(len(record.objects) for record in plan(config(per_image="1-3", n=90), sources()))
    assert {*counts} == {1, 2, 3}
    assert min(counts.values()) > 15


def test_a_hundred_thousand_samples_are_not_held_in_memory():
    asked, given = config(n=100_000), sources()
    assert next(plan(asked, given, range(99_999, 100_000))).number == 99_999
    tracemalloc.start()
    try:
        count = sum(1 for _ in islice(plan(asked, given), 2000))
        most = tracemalloc.get_traced_memory()[1]
        kept = [*islice(plan(asked, given), 2000)]
        all_of_them = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == len(kept) == 2000
    assert 5 * most < all_of_them


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n: Input should be greater than or equal to 1"),
        ({"n": 10**12}, "n: Input should be less than or equal to 1000000"),
        ({"per_image": "3-1"}, "larger number first"),
        ({"per_image": "many"}, "a range such as 1-3"),
        ({"val": 0.6, "test": 0.5}, "leave nothing to train with"),
        ({"min_distance": 2, "max_overlap": 0.1}, "exclude each other"),
        ({"objects": ["disc,colour=red"]}, "colour: Extra inputs"),
        ({"objects": []}, "objects"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        config(**changes)


PINNED = [308, 666, 830, 335]
PINNED_BOX = Box(34, 74, 16, 12)


def test_measured_boxes_lie_where_real_objects_do_and_are_as_large():
    traits = Traits(200, 10.0, 1.0, 1.0, 0.5)
    real = (RealObject(0.25, 0.5, 10, 20, traits), RealObject(0.75, 0.5, 8, 8, traits))
    given = config(place="measured", real="data", n=60)
    boxes = [record.objects[0].box for record in plan(given, sources(sizes=((16, 16),), measured=real))]
    assert {box.size for box in boxes} == {(30, 30), (12, 12)}
    for box in boxes:
        across, down = box.x + box.width / 2, box.y + box.height / 2
        assert abs(across - (30 if box.width == 30 else 90)) <= 0.1 * 120 + 1
        assert abs(down - 50) <= 0.1 * 100 + 1


def test_boxes_of_objects_at_a_side_lie_at_that_side_and_are_as_long():
    traits = Traits(200, 10.0, 1.0, 1.0, 0.5)
    top_right = RealObject(0.8, 0.1, 6, 40, traits, (False, True, True, False))
    across = RealObject(0.5, 0.5, 6, 120, traits, (True, False, True, False))
    given = config(place="measured", real="data", n=40)
    found = sources(sizes=((16, 16),), measured=(top_right, across), multiples=(8,))
    boxes = {record.objects[0].box for record in plan(given, found)}
    assert Box(120 - 32, 0, 32, 16) in boxes
    others = boxes - {Box(120 - 32, 0, 32, 16)}
    assert {(box.width, box.height) for box in others} == {(32, 16)}  # twice the grid at most
    assert {box.x for box in others} <= set(range(32, 57))


def test_real_objects_are_measured_by_their_masks(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    mask = np.zeros((40, 80), np.uint8)
    mask[10:20, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    Image.fromarray(200 - mask // 2).save(tmp_path / "images/a.png")
    traits = Traits(200, -127.0, 60 / (4 * 200**0.5), 1.0, (1 - 99 / 399) ** 0.5)
    (found,) = real_objects(tmp_path)
    assert found == RealObject(30 / 80, 15 / 40, 10, 20, found.traits)
    assert found.traits == pytest.approx(traits, abs=1e-4)
