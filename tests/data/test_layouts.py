"""Every layout on a small tree that lies exactly like the data set, and what is broken in some of them."""

import contextlib
import io
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dmix_core.errors import ImageError
from dmix_core.hookspecs import hookimpl
from dmix_core.registry import Registry
from dmix_data.cutouts import cut_objects
from dmix_data.datasets import ObjectCrops
from dmix_data.exceptions import DataError
from dmix_data.inspection import inspect
from dmix_data.layouts import LayoutError, Listing, Record, candidates, find, layouts
from dmix_data.loader import read_pixels
from dmix_data.mask_rules import named
from dmix_data.masks import MaskFile, apply_rule, divide, read_values
from dmix_data.options import CutoutOptions, DataOptions
from dmix_data.readers import check_classes, read_images, read_pairs
from dmix_data.segmentations import polygons, run_lengths, uncompressed


def shown(pictures):
    """(path below the data set's folder, class) of each."""
    return [(picture.path.name, picture.class_name) for picture in pictures]


def records(folder):
    return find(folder).layout.read(folder).records


# ---- finding out --------------------------------------------------------------------------------------------------


def mvtec(tree, category="", kind="scratch"):
    tree.picture(f"{category}train/good/000.png", seed=1)
    tree.picture(f"{category}test/good/000.png", seed=2)
    tree.picture(f"{category}test/{kind}/000.png", seed=3)
    tree.mask(f"{category}ground_truth/{kind}/000_mask.png")


def visa(tree):
    for number in range(2):
        tree.picture(f"candle/Data/Images/Normal/000{number}.JPG", seed=number)
        tree.picture(f"candle/Data/Images/Anomaly/00{number}.JPG", seed=number + 2)
        tree.mask(f"candle/Data/Masks/Anomaly/00{number}.png", value=3)
    tree.text("candle/image_anno.csv", "image,label,mask\n")
    lines = [
        "object,split,label,image,mask",
        "candle,train,normal,candle/Data/Images/Normal/0000.JPG,",
        "candle,test,normal,candle/Data/Images/Normal/0001.JPG,",
    ]
    anomaly = "candle,{},anomaly,candle/Data/Images/Anomaly/00{}.JPG,candle/Data/Masks/Anomaly/00{}.png"
    tree.text("split_csv/1cls.csv", "\n".join([*lines, *(anomaly.format("test", n, n) for n in (0, 1))]))
    fewshot = [anomaly.format("train", 0, 0), anomaly.format("test", 1, 1)]
    tree.text("split_csv/2cls_fewshot.csv", "\n".join([*lines, *fewshot]))


def magnetic_tile(tree):
    for name in ("exp1_num_1000", "exp2_num_1100", "exp3_num_1249", "exp1_num_1399"):
        tree.picture(f"MT_Blowhole/Imgs/{name}.jpg")
        tree.mask(f"MT_Blowhole/Imgs/{name}.png")
    tree.picture("MT_Free/Imgs/exp4_num_1210.jpg", seed=7)
    tree.mask("MT_Free/Imgs/exp4_num_1210.png", value=0)


def pairs(tree):
    tree.picture("images/x.png")
    tree.mask("masks/x.png")


def plain(tree):
    tree.picture("cat/a.png")
    tree.picture("dog/b.png", seed=1)


SQUARE = [20, 10, 25, 10, 25, 16, 20, 16]  # what Tree.mask draws


def coco(tree, segmentation=(SQUARE,), table="annotations/instances_train2017.json", **changes):
    tree.picture("train2017/a.jpg")
    tree.picture("train2017/b.jpg", seed=1)
    images = [{"id": n, "file_name": f"{name}.jpg", "height": 40, "width": 50} for n, name in enumerate("ab", 7)]
    annotation = {"id": 1, "image_id": 7, "category_id": 3, "segmentation": segmentation, "iscrowd": 0} | changes
    categories = [{"id": 3, "name": "car", "supercategory": "vehicle"}]
    content = {"images": images, "annotations": [annotation], "categories": categories}
    return tree.text(table, json.dumps(content))


def kitti(tree):
    for number in range(2):
        tree.picture(f"training/image_2/{number:06d}_10.png", seed=number)
        tree.mask(f"training/instance/{number:06d}_10.png", value=26 * 256 + 1, dtype=np.uint16)
        tree.mask(f"training/semantic/{number:06d}_10.png", value=26)
    tree.picture("testing/image_2/000000_10.png", seed=9)


def camvid(tree, folder="/SegNet/CamVid"):
    for split, names in {"train": ("0001TP_1", "0001TP_2"), "val": ("0016E5_1",), "test": ("Seq05VD_f1",)}.items():
        lines = []
        for seed, name in enumerate(names):
            tree.picture(f"{split}/{name}.png", seed=seed)
            tree.mask(f"{split}annot/{name}.png", value=8 + seed)
            lines.append(f"{folder}/{split}/{name}.png {folder}/{split}annot/{name}.png")
        tree.text(f"{split}.txt", "\n".join(lines))


def tiktok(tree, nested="TikTok_dataset/"):
    for clip in ("00001", "00002"):
        for frame in ("0001", "0002"):
            tree.picture(f"{nested}{clip}/images/{frame}.png")
            tree.mask(f"{nested}{clip}/masks/{frame}.png")
            tree.picture(f"{nested}{clip}/densepose/{frame}.png")


TREES = {
    "mvtec": mvtec,
    "visa": visa,
    "magnetic-tile": magnetic_tile,
    "coco": coco,
    "kitti": kitti,
    "camvid": camvid,
    "tiktok": tiktok,
    "image-mask": pairs,
    "image-folder": plain,
}


@pytest.mark.parametrize(("name", "make"), TREES.items(), ids=TREES)
def test_a_layout_is_found_and_said_why(tree, name, make):
    make(tree)
    (match,) = candidates(tree.root)
    assert match.layout.name == name
    assert match.evidence


@pytest.mark.parametrize(("name", "make"), TREES.items(), ids=TREES)
def test_every_layout_can_be_inspected_and_cut(tree, tmp_path, name, make):
    make(tree)
    record = inspect(tree.root).record()
    assert record["problems"] == []
    assert json.dumps(record)
    if record["with_mask"]:
        cut = cut_objects(tree.root, tmp_path / "out", CutoutOptions())
        assert {entry.class_name for entry in cut.entries} == record["classes"].keys()
        assert {entry.rule for entry in cut.entries} == {record["mask_rule"]}
        assert len(inspect(tmp_path / "out").record()["classes"]) == len(record["classes"])


class DeepCrack:
    """A layout of a plugin."""

    name, title, rule, fallback = "deep-crack", "DeepCrack", "threshold:127", False

    def detect(self, root):
        return "train_img/" if (root / "train_img").is_dir() else None

    def read(self, root):
        images = sorted((root / "train_img").glob("*.jpg"))
        masks = (MaskFile(root / "train_lab" / f"{image.stem}.png", self.rule) for image in images)
        return Listing([Record(image, mask, "crack", split="train") for image, mask in zip(images, masks, strict=True)])


def registry_with(layout):
    """All that is installed, and a plugin that provides this layout."""

    @hookimpl
    def dmix_layouts():
        return {layout.name: layout}

    registry = Registry.load()
    registry.register(SimpleNamespace(dmix_layouts=dmix_layouts), "third-party", "acme-layouts")
    return registry


def test_a_plugin_can_provide_a_layout(tree):
    tree.picture("train_img/1.jpg")
    tree.mask("train_lab/1.png")
    registry = registry_with(DeepCrack)
    assert shown(read_pairs(tree.root, registry=registry)) == [("1.jpg", "crack")]
    assert find(tree.root, "deep-crack", registry).evidence == "asked for"


def test_a_plugins_layout_is_asked_beside_the_others(tree):
    mvtec(tree)
    (tree.root / "train_img").mkdir()
    with pytest.raises(DataError, match=r"several layouts: deep-crack \(train_img/\); mvtec"):
        find(tree.root, registry=registry_with(DeepCrack))


def test_a_fallback_is_asked_only_if_nothing_else_fits(tree):
    class Anything(DeepCrack):
        name, fallback = "anything", True

        def detect(self, root):
            return "a folder"

    mvtec(tree)
    assert find(tree.root, registry=registry_with(Anything)).layout.name == "mvtec"


class Failing(DeepCrack):
    def detect(self, root):
        return root.nothing


class Listless(DeepCrack):
    def read(self, root):
        return ["1.jpg"]


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Failing, r"'deep-crack' of .* failed in detect \(AttributeError"),
        (Listless, r"in read .* expected a .*Listing"),
    ],
)
def test_a_layout_that_fails_is_named(tree, layout, message):
    tree.picture("train_img/1.jpg")
    with pytest.raises(LayoutError, match=message):
        read_images(tree.root, registry=registry_with(layout))


class Vanishing(DeepCrack):
    def detect(self, root):
        raise FileNotFoundError(2, "No such file or directory", "gone.png")


def test_a_file_that_went_away_is_no_fault_of_the_layout(tree):
    tree.picture("train_img/1.jpg")
    with pytest.raises(DataError, match=r"Cannot look through .*gone\.png"):
        read_images(tree.root, registry=registry_with(Vanishing))


def test_a_layout_may_have_the_name_of_an_exporter():
    @hookimpl
    def dmix_exporters():
        return {"coco": object}

    registry = Registry.load()
    registry.register(SimpleNamespace(dmix_exporters=dmix_exporters), "third-party")
    assert not registry.conflicts
    assert "coco" in registry.names("exporter")
    assert registry.create("layout", "coco").title == "COCO instances"


@pytest.mark.parametrize("layout", layouts().values(), ids=layouts())
def test_a_layout_names_itself_and_knows_an_empty_folder(layout, tmp_path):
    assert layout.title
    assert layout.rule
    assert layout.detect(tmp_path) is None


def test_two_layouts_in_one_folder_are_refused_unless_one_is_named(tree):
    mvtec(tree)
    visa(tree)
    with pytest.raises(DataError, match=r"could have several layouts: mvtec \(.*\); visa \("):
        read_pairs(tree.root)
    assert len(read_pairs(tree.root, DataOptions(layout="visa"))) == 1


def test_an_unknown_layout_is_refused_with_a_suggestion(tree):
    pairs(tree)
    with pytest.raises(DataError, match=r"No layout 'mvtek'\. Did you mean 'mvtec'"):
        read_images(tree.root, DataOptions(layout="mvtek"))


# ---- MVTec AD -----------------------------------------------------------------------------------------------------


def test_mvtec(tree):
    mvtec(tree)
    assert shown(read_pairs(tree.root, DataOptions(split="test"))) == [("000.png", "scratch")]
    (background,) = read_images(tree.root)
    assert background.path.parent.parent.name == "train"
    assert len(read_images(tree.root, DataOptions(split="all"))) == 2


def test_mvtec_is_no_training_data_unless_asked_for(tree):
    mvtec(tree)
    with pytest.raises(DataError, match=r"in the part 'test' .* name the split 'test'"):
        read_pairs(tree.root)


def test_categories_of_mvtec_name_their_classes(tree):
    mvtec(tree, "bottle/")
    mvtec(tree, "screw/")
    assert [name for _, name in shown(read_pairs(tree.root, DataOptions(split="test")))] == [
        "bottle/scratch",
        "screw/scratch",
    ]


def test_converted_visa_has_masks_of_the_same_name(tree):
    tree.picture("train/good/000.JPG")
    tree.picture("test/bad/000.JPG", seed=1)
    tree.mask("ground_truth/bad/000.png")
    assert shown(read_pairs(tree.root, DataOptions(split="test"))) == [("000.JPG", "bad")]


def test_mvtec_masks_and_pictures_without_each_other(tree):
    mvtec(tree)
    extra = tree.picture("test/scratch/001.png", seed=9)
    with pytest.raises(DataError, match=r"1 pictures .* have no mask: 001\.png"):
        read_pairs(tree.root, DataOptions(split="test"))
    extra.unlink()
    tree.mask("ground_truth/scratch/007_mask.png")
    with pytest.raises(DataError, match=r"1 masks .* have no picture: 007_mask\.png"):
        read_pairs(tree.root, DataOptions(split="test"))
    assert len(read_pairs(tree.root, DataOptions(split="test", on_error="skip"))) == 1


def test_two_pictures_of_one_name_are_refused(tree):
    mvtec(tree)
    tree.picture("test/scratch/000.jpg")
    with pytest.raises(DataError, match=r"'000\.jpg' and '000\.png' .* have the same name"):
        read_pairs(tree.root, DataOptions(split="test"))


# ---- VisA ---------------------------------------------------------------------------------------------------------


def test_visa_takes_the_split_with_anomalies_in_training(tree):
    visa(tree)
    (pair,) = read_pairs(tree.root)
    assert (pair.path.name, pair.class_name, pair.mask.sum()) == ("000.JPG", "candle/anomaly", 30 * 255)
    assert shown(read_pairs(tree.root, DataOptions(split="test"))) == [("001.JPG", "candle/anomaly")]
    assert [picture.path.name for picture in read_images(tree.root)] == ["0000.JPG"]


def test_one_object_of_visa_is_not_divided(tree):
    visa(tree)
    assert len(read_pairs(tree.root / "candle")) == 2
    assert len(read_images(tree.root / "candle")) == 2


def test_threshold_127_would_find_nothing_in_visa(tree):
    visa(tree)
    with pytest.raises(DataError, match="1 of 1 masks show no object under the rule 'threshold:127'"):
        read_pairs(tree.root, DataOptions(mask_rule="threshold:127"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("candle,train,normal,../../secret.JPG,", "names '../../secret.JPG', which is outside"),
        ("candle,train,normal,candle/Data/Images/Normal/9.JPG,", r"1 files .* are not there: 9\.JPG"),
        ("candle,valid,normal,candle/Data/Images/Normal/0000.JPG,", "Line 6 .* states split 'valid'"),
        ("candle,train,anomaly,candle/Data/Images/Anomaly/000.JPG,", r"1 pictures .* have no mask: 000\.JPG"),
    ],
)
def test_wrong_lines_of_a_split_file(tree, line, message):
    visa(tree)
    table = tree.root / "split_csv/2cls_fewshot.csv"
    table.write_text(f"{table.read_text()}\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_pairs(tree.root)


@pytest.mark.parametrize("line", [f"candle,train,normal,{'x' * 200_000},", "candle,train,normal,a\0.JPG,", '"'])
def test_hostile_lines_of_a_split_file(tree, line):
    visa(tree)
    table = tree.root / "split_csv/2cls_fewshot.csv"
    table.write_text(f"{table.read_text()}\n{line}\n")
    with pytest.raises(DataError, match=r"Cannot understand|cannot be a path|states split"):
        read_pairs(tree.root)


def test_a_split_file_with_other_columns(tree):
    visa(tree)
    tree.text("split_csv/2cls_fewshot.csv", "image,mask\n")
    with pytest.raises(DataError, match="expected object,split,label,image,mask"):
        read_pairs(tree.root)


# ---- magnetic tiles -----------------------------------------------------------------------------------------------


def test_magnetic_tiles_have_classes_and_normals(tree):
    magnetic_tile(tree)
    assert {name for _, name in shown(read_pairs(tree.root))} == {"blowhole"}
    assert [picture.path.name for picture in read_images(tree.root)] == ["exp4_num_1210.jpg"]
    assert len(read_images(tree.root / "MT_Blowhole")) == 4


def test_tiles_without_defects_show_no_objects(tree):
    magnetic_tile(tree)
    with pytest.raises(DataError, match=r"None of the 1 pictures .* has a mask with objects"):
        read_pairs(tree.root / "MT_Free")


def test_photographs_of_one_tile_are_a_group(tree):
    magnetic_tile(tree)
    groups = {record.image.stem[-4:]: record.group for record in records(tree.root)}
    assert groups["1000"] == groups["1100"] == groups["1210"] == groups["1249"] != groups["1399"]


def test_a_tile_without_a_mask(tree):
    magnetic_tile(tree)
    (tree.root / "MT_Blowhole/Imgs/exp1_num_1000.png").unlink()
    with pytest.raises(DataError, match=r"1 pictures .* have no mask: exp1_num_1000\.jpg"):
        read_pairs(tree.root)


# ---- COCO -----------------------------------------------------------------------------------------------------------


def test_coco_polygons(tree):
    coco(tree)
    (pair,) = read_pairs(tree.root)
    assert (pair.path.name, pair.class_name, pair.source.split) == ("a.jpg", "car", "train")
    expected = np.zeros((40, 50), bool)
    expected[10:16, 20:25] = True
    assert np.array_equal(pair.mask > 0, expected)
    assert len(read_images(tree.root)) == 2


@given(
    centre=st.tuples(st.floats(-5, 55), st.floats(-5, 45)),
    radii=st.lists(st.floats(1, 20), min_size=3, max_size=12),
)
def test_a_polygon_has_about_its_area_wherever_it_lies(centre, radii):
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    corners = np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], 1)
    whole = polygons([(corners + 60).ravel().tolist()], (160, 180)) > 0
    x, y = corners.T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    edge = np.hypot(*(corners - np.roll(corners, -1, 0)).T).sum()
    assert abs(whole.sum() - area) <= edge + 1
    clipped = polygons([corners.ravel().tolist()], (40, 50)) > 0
    assert (clipped != whole[60:100, 60:110]).sum() <= len(radii)  # centres on an edge may fall on either side


def test_an_object_of_coco_is_one_whatever_its_parts(tree):
    far = [40, 30, 46, 30, 46, 36, 40, 36]
    coco(tree, [SQUARE, far])
    crops = ObjectCrops(read_pairs(tree.root), (40, 40))
    assert len(crops) == 1


@pytest.mark.parametrize("as_text", [False, True])
def test_coco_run_lengths(tree, as_text):
    runs = [810, 6, 34, 6, 34, 6, 34, 6, 34, 6, 1024]
    coco(tree, {"size": [40, 50], "counts": compressed(runs) if as_text else runs})
    expected = np.zeros((40, 50), bool)
    expected[10:16, 20:25] = True
    assert np.array_equal(read_pairs(tree.root)[0].mask > 0, expected)


def test_crowds_are_left_out(tree):
    coco(tree, iscrowd=1)
    with pytest.raises(DataError, match=r"2 pictures .* have no mask"):
        read_pairs(tree.root)
    assert len(read_images(tree.root)) == 2


def test_coco_as_roboflow_exports_it(tree):
    coco(tree, table="train2017/_annotations.coco.json")
    (pair,) = read_pairs(tree.root)
    assert pair.source.split == "train"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, r"segmentation that is none \(a polygon of 4 numbers\)"),
        ({"segmentation": {"size": [40, 50], "counts": [1, 2]}}, "runs of 3 pixels for 50x40"),
        ({"segmentation": {"size": [40, 50], "counts": "P"}}, "run lengths that break off"),
        ({"segmentation": {"size": [40, 50], "counts": " "}}, "the character ' ' in run lengths"),
        ({"segmentation": {"counts": [2000]}}, "segmentation that is none"),
        ({"category_id": 4}, "objects of a category 4 that it lacks"),
    ],
)
def test_wrong_annotations_are_refused(tree, changes, message):
    coco(tree, **changes)
    with pytest.raises(DataError, match=message):
        read_pairs(tree.root)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "Cannot understand"), ("[]", "Cannot understand"), ('{"images": []}', "Expected COCO instances")],
)
def test_what_is_no_table_of_coco(tree, text, message):
    tree.text("annotations/instances_val.json", text)
    with pytest.raises(DataError, match=message):
        read_pairs(tree.root)


DEEP = '{"images": [], "categories": [], "annotations": ' + 100_000 * "[" + 100_000 * "]" + "}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"id": 3', '"id": []', r"categories\.0\.id"),
        ('"image_id": 7', '"image_id": {}', r"annotations\.0\.image_id"),
        ('"category_id": 3', '"category_id": null', r"annotations\.0\.category_id"),
        ('"car"', "5", r"categories\.0\.name"),
        ('"a.jpg"', "[1]", r"images\.0\.file_name"),
        ('"a.jpg"', r'"a\u0000.jpg"', r"which cannot be a path \(.*null"),
        ('"a.jpg"', f'"{"a" * 5000}"', r"which cannot be a path \(.*too long"),
        ('"a.jpg"', r'"\ud800.jpg"', "Cannot understand .* hex escape"),
        ('"height": 40', '"height": 1e400', r"images\.0\.height"),
        (
            '"height": 40, "width": 50',
            '"height": 2000000, "width": 2000000',
            "2000000x2000000 pixels; expected at most",
        ),
    ],
)
def test_hostile_entries_of_coco_are_refused(tree, old, new, message):
    table = coco(tree)
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        read_pairs(tree.root)


def test_deep_json_is_refused(tree):
    coco(tree).write_text(DEEP)
    with pytest.raises(DataError, match="Cannot understand"):
        read_pairs(tree.root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", ["annotations/instances_train.json", "crops.jsonl", "train.txt"])
def test_an_annotation_file_that_is_a_pipe_is_not_waited_for(tree, name):
    for folder in ("annotations", "train", "trainannot"):
        (tree.root / folder).mkdir(parents=True)
    os.mkfifo(tree.root / name)
    layout = {"annotations/instances_train.json": "coco", "crops.jsonl": "crops", "train.txt": "camvid"}[name]
    with pytest.raises(DataError, match=r"a folder, pipe or device|No pictures|None of the 0"):
        read_pairs(tree.root, DataOptions(layout=layout))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_among_pictures_is_refused_or_left_out(tree):
    plain(tree)
    os.mkfifo(tree.root / "cat/b.png")
    with pytest.raises(ImageError, match=r"b\.png.* pipe"):
        read_images(tree.root)
    assert len(read_images(tree.root, DataOptions(on_error="skip"))) == 2


def test_coco_pictures_that_are_missing_or_outside(tree):
    table = coco(tree)
    (tree.root / "train2017/b.jpg").unlink()
    with pytest.raises(DataError, match=r"1 files .* are not there: b\.jpg"):
        read_pairs(tree.root)
    table.write_text(table.read_text().replace("b.jpg", "../../../b.jpg"))
    with pytest.raises(DataError, match="is outside of"):
        read_pairs(tree.root)


def compressed(runs):
    """COCO's text for run lengths; see maskApi's rleToString."""
    text = ""
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
    return text


@given(st.lists(st.integers(0, 5000), max_size=20))
def test_run_lengths_survive_their_text(runs):
    assert uncompressed(compressed(runs)) == runs


def test_published_run_lengths():
    square = run_lengths("6320004", (5, 5))
    assert np.array_equal(square > 0, np.pad(np.ones((3, 3), bool), 1))
    assert (run_lengths("122O", (2, 3)) > 0).tolist() == [[False, True, False], [True, False, True]]
    assert uncompressed("Z11") == [42, 1]


# ---- KITTI, CamVid, TikTok ------------------------------------------------------------------------------------------


def test_kitti_instances_are_objects_of_their_class(tree):
    kitti(tree)
    tree.mask("training/instance/000001_10.png", value=7 * 256, dtype=np.uint16)  # road
    (pair,) = read_pairs(tree.root)
    assert (pair.class_name, pair.objects.max(), (pair.mask > 0).sum()) == ("car", 1, 30)
    assert len(read_images(tree.root)) == 2


def test_kitti_objects_are_backgrounds(tree):
    tree.picture("training/image_2/000000.png")
    tree.text("training/label_2/000000.txt", "Car 0.00 0 -1.57 1 2 3 4 1 1 1 1 1 1 0\n")
    assert len(read_images(tree.root)) == 1
    with pytest.raises(DataError, match=r"1 pictures .* have no mask"):
        read_pairs(tree.root)


@pytest.mark.parametrize("lists", ["/SegNet/CamVid", "C:\\data\\CamVid", None])
def test_camvid_is_read_wherever_its_lists_were_written(tree, lists):
    camvid(tree, lists or "")
    if lists is None:
        for split in ("train", "val", "test"):
            (tree.root / f"{split}.txt").unlink()
    assert shown(read_pairs(tree.root)) == [("0001TP_1.png", "car"), ("0001TP_2.png", "pedestrian")]
    assert [picture.source.group for picture in read_pairs(tree.root)] == ["0001TP", "0001TP"]
    assert len(read_pairs(tree.root, DataOptions(split="all"))) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/x/train/0001TP_1.png", "Line 1 .* has 1 paths; expected a picture and its mask"),
        ("/x/train/gone.png /x/trainannot/gone.png", r"1 files .* are not there: gone\.png"),
        ("/x/train/0001TP_1.png /x/trainannot/gone.png", r"1 pictures .* have no mask: 0001TP_1\.png"),
        ("../.. ../..", "is outside of"),
    ],
)
def test_wrong_lines_of_camvid(tree, line, message):
    camvid(tree)
    tree.text("train.txt", line)
    with pytest.raises(DataError, match=message):
        read_pairs(tree.root, DataOptions(split="all"))


@pytest.mark.parametrize("nested", ["", "TikTok_dataset/"])
def test_clips_of_tiktok_are_groups(tree, nested):
    tiktok(tree, nested)
    pictures = read_pairs(tree.root)
    assert {name for _, name in shown(pictures)} == {"person"}
    assert [picture.source.group for picture in pictures] == ["clip 00001"] * 2 + ["clip 00002"] * 2


@pytest.mark.parametrize(("every", "frames"), [(1, "0123456"), (3, "036"), (7, "0"), (9, "0")])
def test_of_each_clip_every_so_many_th_frame_is_taken(tree, every, frames):
    for clip in ("00001", "00002"):
        for frame in range(7):
            tree.picture(f"{clip}/images/{frame}.png")
            tree.mask(f"{clip}/masks/{frame}.png")
    paths = [
        picture.path.relative_to(tree.root).as_posix() for picture in read_pairs(tree.root, DataOptions(every=every))
    ]
    assert paths == [f"{clip}/images/{frame}.png" for clip in ("00001", "00002") for frame in frames]
    assert len(read_images(tree.root, DataOptions(every=every))) == len(paths)


def test_pictures_without_groups_cannot_be_thinned(tree):
    pairs(tree)
    with pytest.raises(DataError, match=r"every is 2, but .* has no groups"):
        read_pairs(tree.root, DataOptions(every=2))


# ---- pictures and masks by name -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "mask"),
    [("CXR_png/x.png", "masks/x_mask.png"), ("imgs/a/x.png", "mask/a/x.png"), ("Part0.jpg", "Part0_label.bmp")],
)
def test_pairs_by_name(tree, picture, mask):
    tree.picture(picture)
    tree.mask(mask)
    assert len(read_pairs(tree.root)) == 1
    assert len(read_images(tree.root)) == 1


def test_masks_without_pictures_are_refused_or_left_out(tree):
    pairs(tree)
    tree.mask("masks/y.png")
    with pytest.raises(DataError, match=r"1 masks .* have no picture: y\.png"):
        read_pairs(tree.root)
    assert len(read_pairs(tree.root, DataOptions(on_error="skip"))) == 1


# ---- mask rules -----------------------------------------------------------------------------------------------------


def test_a_rule_can_name_classes():
    values = np.array([[0, 8, 9, 8]])
    found = divide(values, "index:{8: car, 9: a person, 10: bicycle}")
    assert [(each.class_name, (each.mask[0] > 0).tolist()) for each in found] == [
        ("car", [False, True, False, True]),
        ("a person", [False, False, True, False]),
    ]
    assert apply_rule(values, "index:{8: car, 9: a person}")[0].tolist() == [False, True, True, True]


def test_instances_of_16_bits():
    values = np.array([[0, 26 * 256 + 1, 26 * 256 + 2, 26 * 256, 24 * 256 + 1, 7 * 256 + 3]])
    found = divide(values, named("instance16", {26: "car", 24: "person"}))
    assert [(each.class_name, np.flatnonzero(each.mask).tolist(), each.whole) for each in found] == [
        ("person", [4], True),
        ("car", [1], True),
        ("car", [2], True),
    ]


@pytest.mark.parametrize("rule", ["index:{}", "index:{8}", "index:{8: }", "instance16:26", "threshold:{8: car}"])
def test_malformed_rules_are_refused(rule):
    with pytest.raises(DataError, match="Unknown mask rule"):
        apply_rule(np.zeros((2, 2), np.int64), rule)


# ---- bad files ------------------------------------------------------------------------------------------------------


def test_bad_files_are_left_out_and_listed_where_that_is_asked_for(tree, caplog):
    for number, name in enumerate("abcd"):
        tree.picture(f"{name}.jpg", seed=number)
        tree.mask(f"{name}.png")
    (tree.root / "a.jpg").write_bytes((tree.root / "a.jpg").read_bytes()[:900])
    tree.mask("b.png", height=30)
    tree.mask("c.png", value=0)
    with pytest.raises((DataError, ImageError)):
        read_pairs(tree.root)
    assert [pair.path.name for pair in read_pairs(tree.root, DataOptions(on_error="skip"))] == ["d.jpg"]
    assert "Left out 3 of 4 pictures" in caplog.text
    for fact in (
        "a.jpg: Cannot read",
        "b.jpg: 'b.jpg' is 50x40 pixels, but its mask",
        "c.jpg: the mask shows no object",
    ):
        assert fact in caplog.text


def test_a_data_set_may_have_empty_folders_with_any_name(tree):
    mvtec(tree)
    (tree.root / "images").mkdir()
    (tree.root / "masks").mkdir()
    assert find(tree.root).layout.name == "mvtec"


def test_masks_alone_are_no_backgrounds(tree):
    tree.mask("masks/1.png")
    (tree.root / "images").mkdir()
    with pytest.raises(DataError, match="No pictures below"):
        read_images(tree.root)
    with pytest.raises(DataError, match=r"1 masks in .* have no picture"):
        read_pairs(tree.root)


def two_classes_of_tiles(tree):
    magnetic_tile(tree)
    tree.text("MT_Crack/Imgs/exp1_num_9000.jpg", "no picture")
    tree.mask("MT_Crack/Imgs/exp1_num_9000.png")


def two_classes_of_coco(tree):
    table = coco(tree)
    content = json.loads(table.read_text())
    content["annotations"].append(content["annotations"][0] | {"image_id": 8, "category_id": 4})
    content["categories"].append({"id": 4, "name": "crack"})
    table.write_text(json.dumps(content))
    tree.text("train2017/b.jpg", "no picture")


@pytest.mark.parametrize(("make", "name"), [(two_classes_of_tiles, "blowhole"), (two_classes_of_coco, "car")])
def test_of_known_classes_only_those_asked_for_are_opened(tree, make, name):
    make(tree)
    assert {picture.class_name for picture in read_pairs(tree.root, DataOptions(classes=(name,)))} == {name}
    with pytest.raises(ImageError, match="Cannot read"):
        read_pairs(tree.root, DataOptions(classes=(name, "crack")))
    with pytest.raises(DataError, match=r"No picture shows the class 'crac'. Did you mean 'crack'"):
        read_pairs(tree.root, DataOptions(classes=(name, "crac")))


def test_nothing_left_is_an_error_all_the_same(tree):
    tree.text("a.png", "no picture")
    with pytest.raises(DataError, match="None of 1 pictures can be used"):
        read_images(tree.root, DataOptions(on_error="skip"))
    tree.picture("a.jpg")
    tree.mask("a.png", value=0)
    with pytest.raises(DataError, match="1 of 1 masks show no object"):
        read_pairs(tree.root, DataOptions(on_error="skip"))


@pytest.mark.parametrize(
    ("mode", "message"),
    [("I;16", "mode 'I;16'; expected 8 bits"), ("CMYK", "mode 'CMYK'; expected"), ("RGBA", "transparent in places")],
)
def test_modes_that_could_be_read_wrongly_are_refused(tree, mode, message):
    tree.root.mkdir()
    suffix = "tif" if mode == "CMYK" else "png"
    Image.new(mode, (8, 8)).save(tree.root / f"x.{suffix}")
    with pytest.raises(ImageError, match=message):
        read_images(tree.root)


FORMATS = ["PNG", "JPEG", "BMP", "TIFF", "WEBP"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged TIFF
@given(kind=st.sampled_from(FORMATS), share=st.floats(0, 1, exclude_max=True), flip=st.integers(0, 2**30))
def test_damaged_files_are_read_or_refused_but_never_crash(kind, share, flip, tmp_path_factory):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 11), np.uint8)).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    data[flip % len(data)] ^= 1 + flip % 255
    path = tmp_path_factory.getbasetemp() / f"damaged.{kind.lower()}"
    path.write_bytes(data[: 1 + round(share * len(data))])
    for read in (read_pixels, read_values):
        with contextlib.suppress(ImageError):
            assert read(path).dtype in (np.uint8, np.int64)


def test_a_decompression_bomb_is_refused(tree, monkeypatch):
    tree.picture("x.png")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="decompression bomb"):
        read_images(tree.root)


def test_a_class_of_one_picture_is_refused(tree):
    magnetic_tile(tree)
    tree.picture("MT_Crack/Imgs/exp1_num_9000.jpg")
    tree.mask("MT_Crack/Imgs/exp1_num_9000.png")
    with pytest.raises(DataError, match="The class 'crack' has only one picture"):
        check_classes(read_pairs(tree.root))
