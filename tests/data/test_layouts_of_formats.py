"""The layouts of what is exported, on folders of other tools, and on what is broken in them."""

import json

import numpy as np
import pytest

from dmix_data.exceptions import DataError
from dmix_data.layouts import find, listing
from dmix_data.options import DataOptions
from dmix_data.readers import read_pairs


def read(tree):
    layout = find(tree.root).layout
    return layout.name, listing(layout, tree.root)


# ---- YOLO ---------------------------------------------------------------------------------------------------------

SQUARE = "0 0.41 0.26 0.49 0.26 0.49 0.39 0.41 0.39\n"  # of 50 x 40 pixels: columns 20 to 24, rows 10 to 15


def yolo(tree, label=SQUARE, names="names: ['crack', hole]"):
    tree.picture("train/images/1.jpg")
    tree.picture("train/images/2.jpg", seed=1)
    tree.text("train/labels/1.txt", label)
    tree.text("data.yaml", f"train: train/images\n{names}\n")


@pytest.mark.parametrize("names", ["names: ['crack', hole]", 'names:\n  1: hole\n  0: "cra\\u0063k"', "names: [crack]"])
def test_roboflows_folders_and_both_lists_of_names(tree, names):
    yolo(tree, names=names)
    name, found = read(tree)
    assert name == "yolo-seg"
    assert [(each.normal, each.split) for each in found.records] == [(False, "train"), (True, "train")]
    (each,) = found.records[0].mask.read()
    expected = np.zeros((40, 50), bool)
    expected[10:16, 20:25] = True
    assert each.class_name == "crack"
    assert (each.mask > 0).tolist() == expected.tolist()


def test_a_class_without_a_name_is_called_by_its_number(tree):
    yolo(tree, SQUARE.replace("0 ", "7 ", 1))
    assert [each.class_name for each in read(tree)[1].records[0].mask.read()] == ["7"]


@pytest.mark.parametrize(
    "line", ["0 0.5 0.5 0.2 0.2", "0 0.1 0.1 0.2", "0 0.1 0.1 0.2 0.2 1.5 0.3", "crack 0.1", "-1 0.1 0.2"]
)
def test_a_line_that_is_no_polygon_is_refused(tree, line):
    yolo(tree, f"{SQUARE}{line}\n")
    with pytest.raises(DataError, match=r"Line 2 of .*1\.txt' is no polygon"):
        read(tree)[1].records[0].mask.read()


def test_labels_without_a_picture_are_listed(tree):
    yolo(tree)
    tree.text("train/labels/3.txt", SQUARE)
    assert [path.name for path in read(tree)[1].orphans] == ["3.txt"]


# ---- semantic -----------------------------------------------------------------------------------------------------


def semantic(tree, classes="background\ncrack\nhole\n"):
    tree.picture("images/val/1.png")
    tree.mask("masks/val/1.png", value=2)
    tree.text("classes.txt", classes)


def test_masks_of_classes(tree):
    semantic(tree)
    name, found = read(tree)
    assert (name, found.records[0].split) == ("semantic", "val")
    assert [each.class_name for each in found.records[0].mask.read()] == ["hole"]
    assert [picture.class_name for picture in read_pairs(tree.root, DataOptions(split="val"))] == ["hole"]


@pytest.mark.parametrize("classes", ["background\n", "background\na: b\n", "background\n\ncrack\n"])
def test_classes_that_cannot_be_named_are_refused(tree, classes):
    semantic(tree, classes)
    with pytest.raises(DataError, match=r"classes\.txt' has \d lines.*expected the background's name"):
        read(tree)


def test_masks_and_pictures_without_each_other_are_listed(tree):
    semantic(tree)
    tree.picture("images/val/2.png", seed=1)
    tree.mask("masks/val/3.png")
    _, found = read(tree)
    assert ([path.name for path in found.maskless], [path.name for path in found.orphans]) == (["2.png"], ["3.png"])


# ---- Hugging Face -------------------------------------------------------------------------------------------------

ROW = {"file_name": "a.png", "mask_file_name": "b.png", "objects": {"value": [255], "class": ["crack"]}}


def huggingface(tree, **changes):
    tree.picture("train/a.png")
    tree.mask("train/b.png")
    tree.text("train/metadata.jsonl", f"{json.dumps(ROW | changes)}\n")


def test_masks_of_hugging_face_name_their_values(tree):
    huggingface(tree)
    name, found = read(tree)
    assert (name, found.records[0].split) == ("huggingface", "train")
    assert [(each.class_name, each.whole) for each in found.records[0].mask.read()] == [("crack", True)]


@pytest.mark.parametrize(
    "changes",
    [{"objects": {"value": [1, 2], "class": ["crack"]}}, {"objects": {"value": [0], "class": ["a"]}}, {"file_name": 1}],
)
def test_a_row_that_is_none_is_refused(tree, changes):
    huggingface(tree, **changes)
    with pytest.raises(DataError, match=r"Line 1 of .*metadata\.jsonl'"):
        read(tree)


def test_a_row_that_leads_out_of_the_folder_is_refused(tree):
    huggingface(tree, file_name="../../a.png")
    with pytest.raises(DataError, match="is outside of"):
        read(tree)


def test_a_missing_file_of_a_row_is_listed(tree):
    huggingface(tree, mask_file_name="c.png")
    assert [path.name for path in read(tree)[1].missing] == ["c.png"]


# ---- shards, pairs ------------------------------------------------------------------------------------------------


def shard(tree, facts='{"group": "g", "objects": {"value": [255], "class": ["crack"]}}'):
    tree.picture("1.png")
    tree.mask("1.mask.png")
    tree.text("1.json", facts)


def test_an_unpacked_shard(tree):
    shard(tree)
    tree.picture("2.png", seed=1)
    name, found = read(tree)
    assert (name, found.records[0].group) == ("webdataset", "g")
    assert [path.name for path in found.maskless] == ["2.png"]


@pytest.mark.parametrize("facts", ["", "[]", '{"group": "g", "objects": {"value": [1]}}'])
def test_a_sample_whose_facts_are_none_is_refused(tree, facts):
    shard(tree, facts)
    with pytest.raises(DataError, match=r"1\.json' cannot be understood"):
        read(tree)


@pytest.mark.parametrize("part", ["", "val/"])
def test_generated_pairs_of_anomalydiffusion(tree, part):
    for number in range(2):
        tree.picture(f"{part}bottle/crack/image/{number}.jpg", seed=number)
    tree.mask(f"{part}bottle/crack/mask/0.jpg")
    name, found = read(tree)
    assert name == "anomalydiffusion"
    assert [(each.class_name, each.split) for each in found.records] == [("crack", part.rstrip("/") or None)]
    assert [path.name for path in found.maskless] == ["1.jpg"]
