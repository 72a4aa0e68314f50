"""Crops: pixels of their source, whole objects, groups that stay together, and folders that can be learned from."""

import json
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from dmix_core.geometry import Box
from dmix_data.cutouts import _NotCut, cut_objects, cut_window, divide_groups
from dmix_data.datasets import ObjectCrops, digests, object_crops
from dmix_data.exceptions import DataError
from dmix_data.layouts import Record
from dmix_data.manifest import MANIFEST
from dmix_data.objects import box_of
from dmix_data.options import CutoutOptions, DataOptions
from dmix_data.readers import read_images, read_pairs


def pairs(tree, count=4, **options):
    for number in range(count):
        tree.picture(f"images/{number}.png", 60, 70, number)
        tree.mask(f"masks/{number}.png", height=60, width=70, **options)
    return tree.root


def crop_of(out, entry):
    return np.asarray(Image.open(out / entry.file))


def test_a_native_crop_is_a_window_of_its_source(tree, tmp_path):
    root = pairs(tree)
    cut = cut_objects(root, tmp_path / "out", CutoutOptions(size=(16, 24)))
    assert len(cut.entries) == 4
    for entry in cut.entries:
        crop, (x, y, width, height) = crop_of(tmp_path / "out", entry), entry.window
        source = root / entry.source
        assert crop.shape == (16, 24, 4)
        assert (width, height, entry.scale, entry.padding) == (24, 16, (1, 1), 0)
        assert np.array_equal(crop[..., :3], np.asarray(Image.open(source))[y : y + 16, x : x + 24])
        assert box_of(crop[..., 3] > 0) == Box(20 - x, 10 - y, 5, 6)
        assert entry.object == (20, 10, 5, 6)
        assert entry.sha256 == sha256(source.read_bytes()).hexdigest()
        assert (entry.rule, entry.layout, entry.split) == ("threshold:127", "image-mask", "train")


def test_the_same_crops_come_out_again(tree, tmp_path):
    root = pairs(tree)
    for name in ("a", "b"):
        cut_objects(root, tmp_path / name, CutoutOptions())
    cut_objects(root, tmp_path / "c", CutoutOptions(seed=1))
    texts = [(tmp_path / name / MANIFEST).read_text() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]


def test_fitted_crops_have_their_object_at_about_one_size(tree, tmp_path):
    root = pairs(tree, at=(10, 20, 20, 10))
    cut = cut_objects(root, tmp_path / "out", CutoutOptions(size=(16, 16), scale="fit", context=(1.5, 1.75)))
    for entry in cut.entries:
        assert 30 <= entry.window[2] == entry.window[3] <= 35
        assert entry.scale == (16 / entry.window[2], 16 / entry.window[3])
        height = box_of(crop_of(tmp_path / "out", entry)[..., 3] > 127).height
        assert 8 <= height <= 11


@given(
    at=st.tuples(st.integers(0, 24), st.integers(0, 24), st.integers(4, 6), st.integers(4, 6)),
    size=st.tuples(st.integers(8, 36), st.integers(8, 36)),
    seed=st.integers(0, 100),
)
def test_a_window_holds_its_object_whole(at, size, seed):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    mask = np.zeros((30, 30), np.uint8)
    mask[at[0] : at[0] + at[2], at[1] : at[1] + at[3]] = 255
    cutting = CutoutOptions(size=size, max_padding=0.5)
    window = cut_window(pixels, mask, mask > 0, cutting, np.random.default_rng(seed))
    assert window.pixels.shape == (*size, 4)
    y, x = max(0, window.box.y), max(0, window.box.x)
    inside = np.s_[y - window.box.y :, x - window.box.x :]
    part = np.dstack([pixels, mask])[y : window.box.y + size[0], x : window.box.x + size[1]]
    assert np.array_equal(window.pixels[inside][: part.shape[0], : part.shape[1]], part)
    assert (part[..., 3] > 0).sum() == (mask > 0).sum()
    share = min(30, size[0]) * min(30, size[1]) / (size[0] * size[1])
    assert window.padding == pytest.approx(1 - share, abs=1e-4)


def test_padding_reflects_picture_and_mask_alike():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    mask = np.array([[255, 0, 0, 0]] * 3, np.uint8)
    window = cut_window(pixels, mask, mask > 0, CutoutOptions(size=(5, 4), max_padding=0.5), np.random.default_rng(0))
    assert window.box == Box(0, -1, 4, 5)
    assert window.pixels[:, 0, 0].tolist() == [4, 0, 4, 8, 4]
    assert window.pixels[:, 0, 3].tolist() == [255] * 5
    assert window.padding == 0.4


def test_what_does_not_fit_is_counted(tree, tmp_path):
    root = pairs(tree, 1)
    tree.mask("masks/large.png", at=(5, 5, 20, 20))
    tree.picture("images/large.png")
    tree.mask("masks/small.png", at=(5, 5, 4, 4), height=12, width=12)
    tree.picture("images/small.png", 12, 12)
    cut = cut_objects(root, tmp_path / "out", CutoutOptions(size=(16, 16)))
    assert cut.left_out == {"too large": 1, "too much padding": 1}
    assert len(cut.entries) == 1


def test_objects_that_no_window_parts_are_left_out():
    pixels, mask = np.zeros((20, 20, 1), np.uint8), np.zeros((20, 20), np.uint8)
    mask[5:9, 5:9] = mask[:, 9:13] = 255
    mine = mask.copy() > 0
    mine[:, 9:] = False
    with pytest.raises(_NotCut, match="too close to others"):
        cut_window(pixels, mask, mine, CutoutOptions(size=(8, 8)), np.random.default_rng(0))


def test_nothing_to_cut_is_an_error(tree, tmp_path):
    with pytest.raises(DataError, match=r"No object of 4 pictures .* \(4 too large\)"):
        cut_objects(pairs(tree, at=(5, 5, 30, 30)), tmp_path / "out", CutoutOptions(size=(16, 16)))
    assert not (tmp_path / "out" / MANIFEST).exists()


@pytest.mark.parametrize("class_name", ["..", "../up", "/root", "a b", "ö" * 300])
def test_no_class_leads_out_of_the_folder(tree, tmp_path, class_name):
    tree.picture("x.jpg", 60, 70)
    tree.mask("x.png", 8, height=60, width=70)
    cut = cut_objects(tree.root, tmp_path / "out", CutoutOptions(), DataOptions(mask_rule=f"index:{{8: {class_name}}}"))
    (entry,) = cut.entries
    assert entry.class_name == class_name
    assert (tmp_path / "out" / entry.file).resolve().parent.parent == (tmp_path / "out").resolve()


def test_crops_are_not_cut_over_others(tree, tmp_path):
    root = pairs(tree)
    cut_objects(root, tmp_path / "out", CutoutOptions())
    with pytest.raises(DataError, match="holds crops already"):
        cut_objects(root, tmp_path / "out", CutoutOptions())


@pytest.mark.parametrize(
    ("context", "message"), [((0.5, 1), "greater than or equal to 1"), ((2, 1.5), "expected the smaller factor first")]
)
def test_contexts_that_are_none(context, message):
    with pytest.raises(ValidationError, match=message):
        CutoutOptions(context=context)


# ---- parts ----------------------------------------------------------------------------------------------------------


def test_groups_are_held_out_whole_and_from_every_class(tmp_path):
    records = [
        Record(tmp_path / f"{kind}{group}{shot}.png", None, kind, f"{kind} {group}")
        for kind in ("hole", "crack")
        for group in range(10)
        for shot in range(3)
    ]
    splits = divide_groups(records, tmp_path, CutoutOptions(hold_out=0.3))
    held = [portion.group for portion, split in splits.items() if split == "test"]
    assert [sum(kind in group for group in held) for kind in ("hole", "crack")] == [3, 3]
    assert splits == divide_groups(records[::-1], tmp_path, CutoutOptions(hold_out=0.3))
    assert splits != divide_groups(records, tmp_path, CutoutOptions(hold_out=0.3, seed=1))


def test_the_test_part_of_a_divided_data_set_stays_one(tmp_path):
    records = [Record(tmp_path / f"{n}.png", None, "x", split="test" if n < 5 else "train") for n in range(9)]
    splits = by_group(divide_groups(records, tmp_path, CutoutOptions(hold_out=0.5)))
    assert all(splits[f"{n}.png"] == "test" for n in range(5))
    assert sorted(splits[f"{n}.png"] for n in range(5, 9)) == ["test", "test", "train", "train"]
    only_test = divide_groups(records[:5], tmp_path, CutoutOptions(hold_out=0.4))
    assert sorted(only_test.values()) == ["test"] * 2 + ["train"] * 3


def test_a_group_in_two_parts_of_the_data_set_stays_in_both(tmp_path):
    splits = [("a", "train"), ("b", "test")]
    records = [Record(tmp_path / f"{name}.png", None, "x", "drive", split) for name, split in splits]
    assert list(divide_groups(records, tmp_path, CutoutOptions()).values()) == ["train", "test"]
    assert list(divide_groups(records[::-1], tmp_path, CutoutOptions()).values()) == ["test", "train"]


def by_group(splits):
    return {portion.group: split for portion, split in splits.items()}


# ---- reading --------------------------------------------------------------------------------------------------------


def test_crops_can_be_learned_from_like_the_data_set(tree, tmp_path):
    root, out = pairs(tree), tmp_path / "out"
    cut_objects(root, out, CutoutOptions(size=(16, 16), hold_out=0.5))
    train, test = read_pairs(out), read_pairs(out, DataOptions(split="test"))
    assert (len(train), len(test)) == (2, 2)
    assert not {picture.path for picture in train} & {picture.path for picture in test}
    crops = ObjectCrops(train, (16, 16))
    assert len(crops) == 2
    assert np.array_equal(crops.cut(0, np.random.default_rng(0)), np.asarray(Image.open(train[0].path)))


def test_crops_are_no_backgrounds(tree, tmp_path):
    cut_objects(pairs(tree), tmp_path / "out", CutoutOptions())
    with pytest.raises(DataError, match="holds crops of objects; expected whole pictures"):
        read_images(tmp_path / "out")


def test_a_crop_is_one_object_whatever_its_parts(tree, tmp_path):
    tree.picture("images/x.png", 60, 70)
    mask = np.zeros((60, 70), np.uint8)
    mask[10:16, 10:16] = mask[10:16, 20:26] = 255
    tree.save("masks/x.png", mask)
    cut_objects(tree.root, tmp_path / "out", options=DataOptions(merge_distance=6))
    assert len(ObjectCrops(read_pairs(tmp_path / "out"), (32, 32))) == 1


def test_a_damaged_manifest_names_the_line(tree, tmp_path):
    out = tmp_path / "out"
    cut_objects(pairs(tree, 2), out, CutoutOptions())
    lines = (out / MANIFEST).read_text().splitlines()
    wrong = json.loads(lines[1]) | {"file": "../images/0.png"}
    (out / MANIFEST).write_text("\n".join([lines[0], json.dumps(wrong)]))
    with pytest.raises(DataError, match=r"names '\.\./images/0\.png', which is outside"):
        read_pairs(out)
    (out / MANIFEST).write_text("\n".join([lines[0], lines[1][:50]]))
    with pytest.raises(DataError, match=r"Line 2 of .* is no crop"):
        read_pairs(out)
    (out / MANIFEST).write_text(lines[0])
    (out / "object/000000.png").unlink()
    with pytest.raises(DataError, match=r"1 files .* are not there: 000000\.png"):
        read_pairs(out)


def test_what_is_too_small_is_told_from_what_is_empty(tree, tmp_path):
    root = pairs(tree, 2)
    tree.mask("masks/0.png", at=(10, 20, 3, 3), height=60, width=70)
    cut = cut_objects(root, tmp_path / "out")
    assert cut.left_out == {"smaller than min_area (16 pixels)": 1}


def test_classes_with_a_slash_are_cut_and_read_again(tree, tmp_path):
    for category in ("bottle", "screw"):
        tree.picture(f"{category}/train/good/0.png")
        for number in range(2):
            tree.picture(f"{category}/test/bent/{number}.png", seed=number + 1)
            tree.mask(f"{category}/ground_truth/bent/{number}_mask.png")
    cut_objects(tree.root, tmp_path / "out")
    crops = object_crops(tmp_path / "out", (32, 32), DataOptions(split="all", classes=("screw/bent",)))
    assert crops.class_names == ["screw/bent"] * 2
    assert len(digests(crops)) == 2
