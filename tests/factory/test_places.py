"""Boxes that are listed or fixed, places on the foreground, and photographs of one thing."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dmix_core.errors import DmixError
from dmix_core.geometry import Box
from dmix_core.loading import Loader
from dmix_data.box_lists import ListedBox, read_boxes
from dmix_data.generated_set import entries
from dmix_factory import GenerateConfig, PlanRecord, generate, plan
from dmix_factory.bundles import bundles_of, splits_of
from dmix_factory.foreground import ForegroundError, find_foreground, foreground_of
from dmix_factory.generate_config import ConfigError
from dmix_factory.sources import sources_of, thing_of

LOST = '{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}'
FAST = {"steps": 4, "timesteps": {"resamples": 0}}


@pytest.fixture
def planned(installed, photographs):
    """The plan of some settings."""

    def made(**changes) -> list[PlanRecord]:
        given = {"backgrounds": str(photographs), "objects": ["disc"], "n": 10, **changes}
        config = GenerateConfig.from_data(given)
        return [*plan(config, sources_of(config, Loader()))]

    return made


def table(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


# ---- lists --------------------------------------------------------------------------------------------------


def test_a_table_and_coco_s_json_list_the_same_boxes(tmp_path):
    csv = table(
        tmp_path / "boxes.csv", "image, x, y, width, height, class, note", "a.png,1,2.5,10,4,crack,x", "b.png,0,0,3,3,,"
    )
    assert read_boxes(csv) == {
        "a.png": [ListedBox(Box(1, 2, 10, 5), "crack")],
        "b.png": [ListedBox(Box(0, 0, 3, 3), "")],
    }
    coco = {
        "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 40}],
        "categories": [{"id": 1, "name": "crack"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [1, 2.5, 10, 4]},
            {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    assert read_boxes(tmp_path / "boxes.json") == {"a.png": [ListedBox(Box(1, 2, 10, 5), "crack")]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.csv", "image,x,y,width\na.png,1,1,1", "lacks the columns height"),
        ("b.csv", "x,y,width,height\n1,1,0,4", r"Line 2 of .* is no box \(width is '0'"),
        ("b.csv", "x,y,width,height\n1,-1,3,4", r"y is '-1'"),
        ("b.csv", "x,y,width,height\n1,nan,3,4", r"y is 'nan'"),
        ("b.csv", "x,y,width,height\n1,1,3", r"height is ''"),
        ("b.csv", "x,y,width,height\n", "lists no boxes"),
        ("b.json", "{}", "Cannot understand"),
        ("b.json", '{"images": [], "categories": [], "annotations": [' + LOST + "]}", "that it lacks"),
    ],
)
def test_what_lists_no_boxes_is_named_with_its_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DmixError, match=message):
        read_boxes(tmp_path / name)


def test_each_photograph_shows_the_boxes_that_are_listed_for_it(planned, tmp_path, caplog):
    lines = ("background,x,y,width,height,class", "0.png,2,3,14,12,disc", "0.png,20,20,12,12,", "4.png,1,1,12,16,disc")
    records = planned(boxes=table(tmp_path / "b.csv", *lines))
    shown = {record.background.name: [each.box for each in record.objects] for record in records}
    assert shown == {"0.png": [(2, 3, 14, 12), (20, 20, 12, 12)], "inner/4.png": [(1, 1, 12, 16)]}
    assert "Left out 3 of 5 photographs" in caplog.text
    assert "1.png, 2.png, 3.png" in caplog.text


def test_of_listed_boxes_as_many_are_taken_as_are_asked_for(planned, tmp_path):
    boxes = table(tmp_path / "b.csv", "x,y,width,height", *(f"{12 * i},2,12,12" for i in range(3)))
    assert {len(record.objects) for record in planned(boxes=boxes)} == {3}
    records = planned(boxes=boxes, per_image="1-2", n=30)
    assert {len(record.objects) for record in records} == {1, 2}
    assert len({each.box for record in records for each in record.objects}) == 3


def test_listed_boxes_are_painted_by_objects_of_their_class(planned, tmp_path):
    boxes = table(tmp_path / "b.csv", "x,y,width,height,class", "0,0,12,12,line", "20,20,12,12,disc")
    records = planned(boxes=boxes, objects=["disc", "disc,class=line,weight=9"])
    assert {tuple(each.choice for each in record.objects) for record in records} == {(1, 0)}


def test_on_a_model_s_backgrounds_listed_arrangements_take_turns(planned, tmp_path):
    boxes = table(
        tmp_path / "b.csv", "image,x,y,width,height", "first,0,0,12,12", "second,9,9,12,12", "second,30,0,9,9"
    )
    records = planned(boxes=boxes, backgrounds="scene", n=4)
    assert [len(record.objects) for record in records] == [1, 2, 1, 2]


def test_a_fixed_box_is_in_every_sample_and_others_keep_away_from_it(planned):
    records = planned(objects=["disc@4,5,20,18", "disc,class=line"], min_distance=2, n=20)
    for record in records:
        fixed, drawn = record.objects
        assert (fixed.choice, fixed.box) == (0, (4, 5, 20, 18))
        assert drawn.choice == 1
        grown = Box(*fixed.box).grown(2, record.background.size).shared(drawn.box)
        assert not grown.width * grown.height
    assert len({record.objects[1].box for record in records}) > 10
    assert {len(record.objects) for record in planned(objects=["disc@4,5,20,18"])} == {1}


def test_listed_boxes_are_where_the_objects_come_to_lie(installed, photographs, tmp_path):
    boxes = table(tmp_path / "b.csv", "x,y,width,height", "3,4,20,20")
    generate(backgrounds=str(photographs), objects=["disc"], n=2, boxes=boxes, out=tmp_path / "set", **FAST)
    for entry in entries(tmp_path / "set"):
        (each,) = entry.objects
        assert each.asked == (3, 4, 20, 20)
        assert Box(*each.box).shared(Box(3, 4, 20, 20)) == each.box
        assert each.area > 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objects": ["disc@1,2,3"]}, "MODEL@x,y,w,h in whole pixels"),
        ({"objects": ["disc@1,2,3,0"]}, "greater than or equal to 1"),
        ({"objects": ["disc@1,2,3,4"], "per_image": 2}, "per_image states how many objects are drawn"),
        ({"objects": ["disc@1,2,3,4"], "min_distance": 2}, "min_distance states how boxes are drawn"),
        ({"boxes": "b.csv", "place": "foreground"}, "place states how boxes are drawn"),
        ({"boxes": "b.csv", "share": "2x2"}, "boxes and share exclude each other"),
        ({"boxes": "b.csv", "objects": ["disc@1,2,3,4"]}, "all have boxes"),
        ({"objects": [{"model": "disc", "box": [0, 0, 4, 4], "size": [4, 4]}]}, "box and size exclude"),
    ],
)
def test_rules_of_places_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        GenerateConfig.from_data({"backgrounds": "normal", "objects": ["disc"], "n": 2, **changes})


# ---- foreground ---------------------------------------------------------------------------------------------


def part(seed: int = 0, bright: bool = True, colour: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a part with a hole of the background's colour before a plain background, and where the part is."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :100]
    shown = (abs(y - 42) < 25) & (abs(x - 55) < 30)
    inner = (abs(y - 42) < 6) & (abs(x - 55) < 6)
    levels = np.where(shown & ~inner, 190, 60) if bright else np.where(shown & ~inner, 40, 200)
    picture = np.repeat((levels + draws.normal(0, 6, levels.shape))[..., None], 3, 2)
    if colour:  # of one brightness
        picture = np.where((shown & ~inner)[..., None], [180, 60, 60], [60, 120, 120]) + draws.normal(
            0, 6, picture.shape
        )
    return picture.clip(0, 255).astype(np.uint8), shown


@pytest.mark.parametrize(("bright", "colour"), [(True, False), (False, False), (True, True)])
def test_the_foreground_is_the_part_with_its_holes(bright, colour):
    picture, shown = part(bright=bright, colour=colour)
    assert (find_foreground(picture, "p") == shown).mean() > 0.999


def texture() -> np.ndarray:
    return np.random.default_rng(0).normal(128, 30, (60, 60, 1)).clip(0, 255).astype(np.uint8)


def ramp() -> np.ndarray:
    return np.tile(np.linspace(0, 255, 90).astype(np.uint8)[None, :, None], (60, 1, 3))


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (np.full((9, 9, 3), 7, np.uint8), "all pixels have one colour"),
        (texture(), "do not fall into two kinds"),
        (ramp(), "its border is not plain"),
    ],
)
def test_what_has_no_foreground_is_refused(picture, why):
    with pytest.raises(ForegroundError, match=f"No foreground is found in 'p': .*{why}"):
        find_foreground(picture, "p")


def test_boxes_lie_on_the_foreground(planned, tmp_path):
    (tmp_path / "parts").mkdir()
    for seed in range(3):
        Image.fromarray(part(seed)[0]).save(tmp_path / f"parts/{seed}.png")
    records = planned(backgrounds=str(tmp_path / "parts"), place="foreground", per_image="1-2", n=30)
    for record in records:
        shown = foreground_of(record.background.path)
        assert all(each.box.crop(shown).all() for each in record.objects)
    assert len({each.box for record in records for each in record.objects}) > 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"No foreground is found in '.*0\.png'"),
        ({"backgrounds": "scene"}, "place is 'foreground', which is for photographs; 'scene' is a model"),
    ],
)
def test_photographs_without_a_foreground_are_known_before_work_begins(planned, changes, message):
    with pytest.raises(DmixError, match=message):
        planned(place="foreground", **changes)


def test_an_object_that_is_larger_than_the_foreground_is_an_error_that_names_it(planned, tmp_path):
    (tmp_path / "parts").mkdir()
    Image.fromarray(part()[0]).save(tmp_path / "parts/a.png")
    large = {"model": "disc", "size": (60, 60)}
    with pytest.raises(DmixError, match=r"No box of 60x60 pixels on the background 'a\.png' lies wholly in the foreg"):
        planned(backgrounds=str(tmp_path / "parts"), place="foreground", objects=[large])


# ---- groups -------------------------------------------------------------------------------------------------


@given(
    things=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    size=st.integers(1, 5),
    val=st.floats(0, 0.6),
    test=st.floats(0, 0.3),
)
def test_no_thing_stands_on_two_sides_and_every_photograph_is_used(things, size, val, test):
    names = [f"thing {each}" for each in things]
    bundles, sides = bundles_of(names, range(len(names)), size)
    assert sorted(number for each in bundles for number in each.photographs) == [*range(len(names))]
    assert all(1 <= len(each.photographs) <= size for each in bundles)
    parts = splits_of(sides, val, test)
    stands = defaultdict(set)
    for each in bundles:
        for number in each.photographs:
            stands[names[number]].add(parts[each.side])
    assert all(len(each) == 1 for each in stands.values())
    asked = {"train", *(["val"] if val else []), *(["test"] if test else [])}
    if len(sides) >= len(asked):
        assert {*parts} == asked


@given(sizes=st.lists(st.integers(1, 9), min_size=12, max_size=60), val=st.floats(0.1, 0.5))
def test_a_share_of_photographs_is_kept_to_within_half_of_a_group(sizes, val):
    parts = splits_of(sizes, val, 0)
    held = sum(size for size, part in zip(sizes, parts, strict=True) if part == "val")
    assert held <= max(val * sum(sizes) + max(sizes) / 2, min(sizes))
    assert held >= val * sum(sizes) - max(sizes)


@pytest.mark.parametrize(
    ("groups", "thing"),
    [(None, "tile 3"), ("none", ""), ("folder", "a/b"), (r"num_(\d+)", "17"), ("x_.", "x_n"), ("zzz", "")],
)
def test_rules_of_groups(groups, thing):
    assert thing_of("a/b/x_num_17.png", "tile 3", groups) == thing


def tiles(folder: Path) -> str:
    """Photographs of magnetic tiles, of which several show one tile."""
    (folder / "MT_Free/Imgs").mkdir(parents=True)
    draws = np.random.default_rng(2)
    for number in (1000, 1040, 1080, 5000, 9000, 9100, 20000):
        Image.fromarray(draws.integers(0, 256, (30, 40), np.uint8)).save(folder / f"MT_Free/Imgs/exp1_num_{number}.jpg")
    return str(folder)


def test_photographs_of_one_tile_stand_on_one_side(planned, tmp_path):
    records = planned(backgrounds=tiles(tmp_path), val=0.4, n=28)
    sides = defaultdict(set)
    for record in records:
        sides[record.group].add(record.split)
    assert {*sides} == {"tile 1000", "tile 5000", "tile 9000", "tile 20000"}
    assert all(len(each) == 1 for each in sides.values())
    assert Counter(record.background.name for record in records).most_common()[-1][1] == 4
    alone = planned(backgrounds=str(tmp_path), val=0.4, n=28, groups="none")
    assert len({record.group for record in alone}) == 7
    shared = planned(backgrounds=str(tmp_path), val=0.4, n=48, share="2x3")
    by_photograph = {record.background.thing: set() for record in shared}
    for record in shared:
        by_photograph[record.background.thing].add(record.split)
    assert all(len(each) == 1 for each in by_photograph.values())


@pytest.mark.parametrize(
    ("groups", "message"), [("(", "no regular expression"), ("zebra", "found in none of the 5 photographs")]
)
def test_a_rule_of_groups_that_fits_nothing_is_refused(planned, groups, message):
    with pytest.raises(ConfigError, match=message):
        planned(groups=groups)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,x,y,width,height", "9.png,1,1,9,9"], r"lists boxes of '9\.png', but no photograph is called so"),
        (["x,y,width,height,class", "1,1,9,9,disk"], "class 'disk', which no object has. Did you mean 'disc'"),
        (["image,x,y,width,height", "0.png,50,1,9,9"], r"box 50,1,9,9 .* leaves the background '0\.png' of 56x40"),
    ],
)
def test_lists_that_do_not_fit_the_set_are_refused(planned, tmp_path, lines, message):
    with pytest.raises(ConfigError, match=message):
        planned(boxes=table(tmp_path / "b.csv", *lines))
