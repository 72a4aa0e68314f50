"""What `inspect` reports of small folders: counts, rules, problems, duplicates, advice."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmix_data.inspection import inspect
from dmix_data.options import DataOptions


def tile(tree, name, seed, value=255, at=(10, 20, 8, 12)):
    tree.picture(f"MT_Crack/Imgs/exp1_num_{name}.jpg", 80, 90, seed)
    return tree.mask(f"MT_Crack/Imgs/exp1_num_{name}.png", value, at, 80, 90)


def test_it_counts_and_measures(tree):
    tile(tree, 1000, 0)
    tile(tree, 1100, 1, at=(10, 20, 30, 12))
    tree.picture("MT_Free/Imgs/exp1_num_5000.jpg", 70, 80, 2)
    record = inspect(tree.root).record()
    json.dumps(record)
    assert (record["layout"], record["mask_rule"]) == ("magnetic-tile", "threshold:127")
    assert (record["pictures"], record["with_mask"], record["normal"], record["groups"]) == (3, 2, 1, 2)
    assert record["sizes"] == {"90x80": 2, "80x70": 1}
    assert record["modes"] == {"RGB": 3}
    crack = record["classes"]["crack"]
    assert (crack["pictures"], crack["objects"]) == (2, 2)
    assert (crack["longer_side"]["smallest"], crack["longer_side"]["largest"]) == (12, 30)
    assert crack["share_that_fits"] == {"16": 0.5, "32": 0.5, "64": 1, "128": 1, "256": 1}
    assert crack["mask_values"] == {"0": 2 * 7200 - 456, "255": 456}
    assert record["problems"] == []


def test_it_warns_where_the_rule_matters(tree):
    for number in range(3):
        path = tile(tree, 1000 * number, number)
        mask = np.array(Image.open(path))
        mask[18, 20:32] = 40  # a halo of one row beside the eight
        tree.save(path.relative_to(tree.root), mask)
    record = inspect(tree.root).record()
    changes = record["classes"]["crack"]["area_under_other_rules"]
    assert changes == {"nonzero": 0.125, "index:255": 0}
    assert any("+12% under nonzero" in warning for warning in record["warnings"])


@pytest.mark.parametrize(("noise", "alike"), [(2, True), (60, False)])
def test_it_advises_to_thin_clips_of_frames_that_are_nearly_the_same(tree, noise, alike):
    random = np.random.default_rng(0)
    scene = random.integers(60, 200, (16, 16)).repeat(4, 0).repeat(4, 1)
    for frame in range(22):
        moved = scene + random.integers(-noise, noise + 1, (16, 16)).repeat(4, 0).repeat(4, 1)
        tree.save(f"00001/images/{frame:04}.png", moved.clip(0, 255).astype(np.uint8))
        tree.mask(f"00001/masks/{frame:04}.png", height=64, width=64)
    record = inspect(tree.root).record()
    assert any("--every 10 takes one of 10" in warning for warning in record["warnings"]) == alike
    assert all(("--every 10" in command) == alike for command in record["next"])


def test_it_lists_what_is_broken(tree):
    tile(tree, 1, 0)
    tile(tree, 2, 1, value=0)
    tile(tree, 3, 2)
    tree.mask("MT_Crack/Imgs/exp1_num_3.png", height=20)
    tile(tree, 4, 3)
    tree.text("MT_Crack/Imgs/exp1_num_4.jpg", "no picture")
    tree.picture("MT_Crack/Imgs/exp1_num_5.jpg", 80, 90, 4)
    tree.mask("MT_Crack/Imgs/exp1_num_6.png")
    record = inspect(tree.root).record()
    why = {problem["file"][-9:]: problem["why"] for problem in record["problems"]}
    assert why.keys() == {f"num_{n}.{'png' if n == 6 else 'jpg'}" for n in range(2, 7)}
    assert why["num_2.jpg"] == "the mask shows no object"
    assert "50x20. Expected equal sizes" in why["num_3.jpg"]
    assert "Cannot read" in why["num_4.jpg"]
    assert why["num_5.jpg"] == "a picture of an object without a mask"
    assert why["num_6.png"] == "a mask without a picture"
    assert all(command.endswith("--on-error skip") or "steps" in command for command in record["next"])


def test_it_finds_pictures_of_the_test_part_in_training(tree):
    tree.picture("train/good/a.png", seed=1)
    tree.picture("test/good/b.png", seed=1)
    tree.picture("test/hole/c.png", seed=2)
    tree.mask("ground_truth/hole/c_mask.png")
    record = inspect(tree.root).record()
    assert record["duplicates"] == [["train/good/a.png", "test/good/b.png"]]
    assert any("train/good/a.png = test/good/b.png" in warning for warning in record["warnings"])
    assert any(warning.startswith("hole: a single picture") for warning in record["warnings"])
    assert any("dmix data crops" in command and "--hold-out" in command for command in record["next"])


def test_it_says_what_no_model_of_boxes_suits(tree):
    for number in range(2):
        tile(tree, number, number, at=(5, 5, 70, 80))
    warnings = inspect(tree.root).record()["warnings"]
    assert any("2 of 2 objects are as large as their pictures" in warning for warning in warnings)


def test_it_advises_a_model_for_each_class_of_a_size_that_fits(tree):
    for kind, at in {"Hole": (10, 20, 8, 12), "Crack": (10, 20, 30, 40)}.items():
        tree.picture(f"MT_{kind}/Imgs/exp1_num_1.jpg", 80, 90)
        tree.mask(f"MT_{kind}/Imgs/exp1_num_1.png", at=at, height=80, width=90)
    commands = "\n".join(inspect(tree.root).record()["next"])
    assert "--class hole --size 32x32\ndmix train object hole-crops -o hole --size 32x32 --steps 20000" in commands
    assert "--class crack --size 64x64\n" in commands


def test_pictures_without_masks(tree):
    tree.picture("a.png", 100, 100)
    record = inspect(tree.root).record()
    assert (record["layout"], record["classes"]) == ("image-folder", {})
    (command,) = record["next"]
    assert command.startswith("dmix train background")
    assert "--size 64x64" in command


def test_samples_hold_their_objects(tree):
    tile(tree, 1, 0)
    (sample,) = inspect(tree.root).samples
    assert (sample.class_name, sample.side) == ("crack", 12)
    assert sample.mask.shape == sample.pixels.shape[:2] == (32, 32)
    assert (sample.mask > 0).sum() == 96


def test_it_warns_of_groups_in_two_parts(tree):
    for split in ("train", "test"):
        tree.picture(f"{split}/0016E5_{split}.png")
        tree.mask(f"{split}annot/0016E5_{split}.png", 8)
    warnings = inspect(tree.root).record()["warnings"]
    assert any("1 groups of pictures of one thing are in several parts" in each for each in warnings)


def test_it_warns_of_pictures_that_exif_turns(tree):
    exif = Image.Exif()
    exif[274] = 3
    tree.save("x.jpg", np.zeros((40, 50), np.uint8), exif=exif)
    tree.mask("x.png")
    assert any("1 pictures with masks are turned by EXIF" in each for each in inspect(tree.root).record()["warnings"])


def test_it_tells_how_far_it_is(tree):
    tile(tree, 1, 0)
    seen = []
    inspect(tree.root, seen=lambda: seen.append(1))
    assert seen == [1]


def test_objects_that_are_too_small_are_told_from_empty_masks(tree):
    for number, size in enumerate([0, 3, 8]):
        tree.picture(f"images/{number}.png", seed=number)
        tree.mask(f"masks/{number}.png", at=(10, 20, size, size))
    problems = {Path(each["file"]).name: each["why"] for each in inspect(tree.root).record()["problems"]}
    small = "the mask's parts are all smaller than min_area, 16 pixels; the largest has 9"
    assert problems == {"0.png": "the mask shows no object", "1.png": small}


def test_it_names_the_filters_of_objects_that_are_cut_or_may_be_several(tree):
    for number in range(3):
        tree.picture(f"images/{number}.png", 60, 80, number)
        mask = np.zeros((60, 80), np.uint8)
        mask[0:12, 5:20] = 255  # at the border
        mask[30:42, 5:25] = mask[30:42, 28:48] = mask[35:38, 25:28] = 255  # two, joined by a bridge
        tree.save(f"masks/{number}.png", mask)
    found = inspect(tree.root)
    warnings = "\n".join(found.warnings())
    assert "3 of 6 objects touch the border of their picture: --skip-truncated leaves them out" in warnings
    assert "3 of 6 objects have a narrow place, where several may touch: try --split-touching 2" in warnings
    options = DataOptions(split_touching=2, skip_truncated=True)
    filtered = inspect(tree.root, options=options)
    assert filtered.record()["classes"]["object"]["objects"] == 6
    assert filtered.record()["classes"]["object"]["left_out"] == {"truncated by the border of their picture": 3}
    assert "--split-touching 2 --skip-truncated" in filtered.record()["next"][-1]
    assert not [each for each in filtered.warnings() if "--s" in each]
