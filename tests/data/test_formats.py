"""Every format on small sets: read again by our layouts and by the tools that it is for, and refused where it must."""

import json
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dmix_core.errors import ImageError, WriteError
from dmix_core.hookspecs import hookimpl
from dmix_core.registry import Registry
from dmix_data import formats
from dmix_data.exceptions import DataError
from dmix_data.layouts import find, listing
from dmix_data.stored_set import StoredSet
from dmix_data.testing import BrokenPromise, check_format, check_layout, write_set

REGISTRY = Registry.load()
NAMES = REGISTRY.names("format")


@pytest.fixture
def toys(tmp_path) -> StoredSet:
    """Nine samples in three parts."""
    return StoredSet.open(write_set(tmp_path / "set", 9))


def written(source, name, out, **settings):
    """The folder of an export, and what it tells."""
    steps = formats.export(source, formats.named(name, REGISTRY, settings), Path(out))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return Path(out), end.value


def tree(folder):
    """The content of every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unpacked(folder, out):
    """The shards of a folder, unpacked."""
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            tar.extractall(out, filter="data")
    return out


def union_masks(records):
    """The masks of records that show objects, those of one picture put together."""
    read = (record.mask.read() for record in records if record.mask)
    return [np.any([each.mask > 127 for each in found], axis=0) for found in read if found]


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def set_masks(source):
    return [np.any([each.mask for each in sample.shown], axis=0) for sample in source.samples() if sample.shown]


# ---- all formats --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_our_formats_keep_their_promises(name):
    check_format(formats.named(name, REGISTRY))


@pytest.mark.parametrize("name", NAMES)
def test_our_own_layout_reads_every_format_again_with_equal_masks(name, toys, tmp_path):
    folder, _ = written(toys, name, tmp_path / "out")
    folder = unpacked(folder, tmp_path / "unpacked") if name == "webdataset" else folder
    layout = find(folder).layout
    assert layout.name == name
    check_layout(layout, folder)
    found, expected = union_masks(listing(layout, folder).records), set_masks(toys)
    assert len(found) == len(expected) == 6
    if name == "yolo-seg":
        assert all(max(overlap(one, other) for one in found) > 0.9 for other in expected)
    else:
        assert {mask.tobytes() for mask in found} == {mask.tobytes() for mask in expected}


def test_a_set_is_read_as_it_lies(toys):
    layout = find(toys.root).layout
    assert layout.name == "generated"
    check_layout(layout, toys.root)
    records = listing(layout, toys.root).records
    assert [record.split for record in records] == 3 * ["train"] + 3 * ["val"] + 3 * ["test"]
    assert [record.normal for record in records] == 3 * [False, False, True]
    assert all((a == b).all() for a, b in zip(union_masks(records), set_masks(toys), strict=True))


@pytest.mark.parametrize("name", ["coco", "huggingface", "semantic", "yolo-seg"])
def test_parts_of_the_set_stay_apart(name, toys, tmp_path):
    folder, _ = written(toys, name, tmp_path / "out")
    records = listing(find(folder).layout, folder).records
    assert sorted(record.split for record in records) == 3 * ["test"] + 3 * ["train"] + 3 * ["val"]


class Names:
    """A list of names; what is wrong with it is up to subclasses."""

    name, title = "names", "lists of names"

    def write(self, source, folder):
        for sample in source.samples():
            (folder / sample.name).touch()
            yield sample
        return ["done"]


class Titleless(Names):
    title = ""


class Silent(Names):
    def write(self, source, folder):
        yield from super().write(source, folder)


class Hasty(Names):
    def write(self, source, folder):
        for sample in super().write(source, folder):
            yield sample
            break
        return []


class Random(Names):
    def write(self, source, folder):
        (folder / os.urandom(4).hex()).touch()
        return (yield from super().write(source, folder))


class Meddling(Names):
    def write(self, source, folder):
        with (source.root / "set.json").open("a") as file:
            file.write(" ")
        return (yield from super().write(source, folder))


class Failing(Names):
    def write(self, source, folder):
        yield next(source.samples())
        raise KeyError("no")


BROKEN = {
    Titleless: "it has a title",
    Silent: "it returns a list of texts",
    Hasty: "it yields each sample once",
    Random: "the same set gives the same files",
    Meddling: "it leaves the set as it is",
    Failing: "write raises nothing but a DmixError",
}


@pytest.mark.parametrize(("broken", "promise"), BROKEN.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_broken_promise_of_a_format_is_named(broken, promise):
    check_format(Names())
    with pytest.raises(BrokenPromise, match=promise):
        check_format(broken())


# ---- each by its reader -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_reads_the_same_masks(polygons, toys, tmp_path, capsys):
    reader = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    folder, _ = written(toys, "coco", tmp_path / "out", polygons=polygons)
    for split in ("train", "val", "test"):
        table = reader.COCO(folder / "annotations" / f"instances_{split}.json")
        samples = [sample for sample in toys.samples() if sample.entry.split == split]
        shown = [each for sample in samples for each in sample.shown]
        found = table.loadAnns(table.getAnnIds())
        assert len(table.imgs) == 3
        assert len(found) == len(shown) == 3
        for annotation, each in zip(found, shown, strict=True):
            mask = table.annToMask(annotation) > 0
            assert overlap(mask, each.mask) == 1 if not polygons else overlap(mask, each.mask) > 0.9
            assert (annotation["area"], annotation["iscrowd"]) == (each.mask.sum(), 0)
            assert tuple(annotation["bbox"]) == each.entry.box
            assert table.cats[annotation["category_id"]]["name"] == each.entry.class_name


def test_datasets_reads_pictures_with_masks(toys, tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    folder, _ = written(toys, "huggingface", tmp_path / "out")
    read = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in read.items()} == {"train": 3, "validation": 3, "test": 3}
    for row, sample in zip(read["train"], toys.samples(), strict=False):
        assert (np.asarray(row["mask"]) == sample.values).all()
        assert row["image"].size == (sample.entry.width, sample.entry.height)
        assert row["objects"]["class"] == [each.entry.class_name for each in sample.shown]


def test_webdataset_reads_the_shards(toys, tmp_path):
    reader = pytest.importorskip("webdataset", reason="webdataset is not installed")
    folder, _ = written(toys, "webdataset", tmp_path / "out", samples=2)
    shards = sorted(path.as_posix() for path in folder.glob("train-*.tar"))
    assert [Path(shard).name for shard in shards] == ["train-000000.tar", "train-000001.tar"]
    read = [*reader.WebDataset(shards, shardshuffle=False).decode("pil")]
    for found, sample in zip(read, toys.samples(), strict=False):
        assert found["__key__"] == sample.name
        assert (np.asarray(found["mask.png"].convert("L")) == sample.values).all()
        assert found["json"]["group"] == sample.entry.group
    assert len(read) == 3


def test_shards_have_neither_times_nor_owners(toys, tmp_path):
    folder, _ = written(toys, "webdataset", tmp_path / "out")
    with tarfile.open(folder / "train-000000.tar") as tar:
        entries = tar.getmembers()
    assert {(each.mtime, each.uid, each.gid, each.uname, each.mode) for each in entries} == {(0, 0, 0, "", 0o644)}
    assert [each.name for each in entries] == sorted(each.name for each in entries)


def test_opencv_draws_the_polygons_of_yolo_over_their_masks(toys, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    folder, _ = written(toys, "yolo-seg", tmp_path / "out", lossy=True)
    for sample in (each for each in toys.samples() if each.shown):
        lines = (folder / "labels" / sample.entry.split / f"{sample.name}.txt").read_text().splitlines()
        for line, each in zip(lines, sample.shown, strict=True):
            class_id, *numbers = line.split()
            corners = np.array(numbers, float).reshape(-1, 2) * (sample.entry.width, sample.entry.height)
            mask = np.zeros(each.mask.shape, np.uint8)
            cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
            assert int(class_id) == each.class_id
            assert overlap(mask > 0, each.mask) > 0.9


def test_mvtec_lies_as_anomalib_asks(toys, tmp_path):
    folder, _ = written(toys, "mvtec", tmp_path / "out")
    files = sorted(tree(folder))
    assert [file for file in files if "/train/" in file] == ["toys/train/good/000.png"]
    assert {file.split("/")[2] for file in files if "/test/" in file} == {"good", "crack", "combined"}
    for kind in ("crack", "combined"):
        images = [Path(file).stem for file in files if f"/test/{kind}/" in file]
        masks = [Path(file).stem for file in files if f"/ground_truth/{kind}/" in file]
        assert masks == [f"{stem}_mask" for stem in images] == ["000_mask", "001_mask", "002_mask"]
    mask = np.asarray(Image.open(folder / "toys/ground_truth/crack/000_mask.png"))
    assert {*np.unique(mask)} == {0, 255}


def test_anomalib_reads_mvtec(toys, tmp_path):
    loader = pytest.importorskip("anomalib.data.datasets.image.mvtecad", reason="anomalib is not installed")
    folder, _ = written(toys, "mvtec", tmp_path / "out")
    samples = loader.make_mvtec_ad_dataset(folder / "toys", extensions=(".png", ".PNG"))
    assert len(samples) == 9
    assert samples.attrs["task"] == "segmentation"


def test_the_masks_of_semantic_are_numbers_with_colours(toys, tmp_path):
    folder, _ = written(toys, "semantic", tmp_path / "out")
    assert (folder / "classes.txt").read_text() == "background\ncrack\nhole\n"
    mask = Image.open(folder / "masks/train/000001.png")
    assert mask.mode == "P"
    assert {*np.unique(np.asarray(mask))} == {0, 1, 2}
    assert len({mask.convert("RGB").getpixel((0, 0)), *mask.convert("RGB").get_flattened_data()}) == 3


# ---- what cannot be written ---------------------------------------------------------------------------------------


def test_yolo_refuses_what_one_polygon_cannot_show(toys, tmp_path):
    set_apart(toys)
    with pytest.raises(DataError, match=r"would be 0\.\d\d of itself as a polygon; .* yolo-seg\.lossy=true"):
        written(toys, "yolo-seg", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    _, notes = written(toys, "yolo-seg", tmp_path / "out", lossy=True)
    assert "below 0.95" in notes[0]


def set_apart(toys):
    """Two dots far apart as the first object: a line between them is longer than they are."""
    mask = np.asarray(Image.open(toys.root / "masks/000000.png")).copy()
    mask[:] = 0
    mask[2:16, 2:8] = mask[30:36, 40:46] = 1
    Image.fromarray(mask).save(toys.root / "masks/000000.png")


def test_mvtec_refuses_a_set_without_normal_pictures(tmp_path):
    source = StoredSet.open(write_set(tmp_path / "set", 2))
    with pytest.raises(DataError, match=r"no picture for training without an object; .* --twins"):
        written(source, "mvtec", tmp_path / "out")


def test_an_unknown_format_is_refused_with_the_nearest_name():
    with pytest.raises(DataError, match=r"No format 'yolo-sag'\. Did you mean 'yolo-seg'\?"):
        formats.named("yolo-sag", REGISTRY)


def test_the_first_word_of_a_format_s_name_is_enough():
    assert type(formats.named("yolo", REGISTRY)) is type(formats.named("yolo-seg", REGISTRY))


@pytest.mark.parametrize("out", [".", "..", "inside", "images"])
def test_an_export_onto_or_into_the_set_is_refused(out, toys):
    before = tree(toys.root)
    with pytest.raises(DataError, match=r"in the set .* or around it"):
        written(toys, "coco", toys.root / out)
    assert tree(toys.root) == before


def test_an_export_onto_files_is_refused(toys, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        written(toys, "coco", tmp_path / "out")


def damaged_line(root):
    lines = (root / "manifest.jsonl").read_text().splitlines()
    (root / "manifest.jsonl").write_text("\n".join([*lines[:4], lines[4][:40], *lines[5:]]))


def missing_mask(root):
    (root / "masks/000004.png").unlink()


def other_size(root):
    Image.new("L", (5, 5)).save(root / "masks/000004.png")


def unnamed_class(root):
    (root / "manifest.jsonl").write_text((root / "manifest.jsonl").read_text().replace('"hole"', '"dent"'))


DAMAGE = {
    damaged_line: r"Line 5 of .*manifest\.jsonl' is no sample",
    missing_mask: r"'masks/000004\.png' of sample 4 is missing",
    other_size: r"has 5x5 pixels; its manifest states 48x40",
    unnamed_class: r"shows the class 'dent'; expected one of .* crack, hole",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("damage", "message"), DAMAGE.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_damaged_set_is_refused_and_nothing_is_kept(name, damage, message, toys, tmp_path):
    damage(toys.root)
    with pytest.raises((DataError, ImageError), match=message):
        written(toys, name, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_a_full_disk_leaves_nothing_behind(toys, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match="No space left on device"):
        written(toys, "coco", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_an_export_that_is_given_up_leaves_nothing_behind(toys, tmp_path):
    steps = formats.export(toys, formats.named("coco", REGISTRY), tmp_path / "out")
    next(steps)
    steps.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_a_plugin_can_provide_a_format(toys, tmp_path):
    @hookimpl
    def dmix_formats():
        return {"names": Names}

    registry = Registry.load()
    registry.register(SimpleNamespace(dmix_formats=dmix_formats), "third-party", "acme-formats")
    steps = formats.export(toys, formats.named("names", registry), tmp_path / "out")
    assert len([*steps]) == 9
    assert (tmp_path / "out/000008").exists()


def test_a_format_may_have_the_name_of_a_layout():
    assert not REGISTRY.conflicts
    assert REGISTRY.declared_settings("coco", "format") == ["polygons: bool = False"]
    assert REGISTRY.kind_of("coco") == "layout"


def test_a_bad_setting_of_a_format_is_refused():
    with pytest.raises(Exception, match="samples is 0; expected 1 or more"):
        formats.named("webdataset", REGISTRY, {"samples": 0})


def test_the_table_of_coco_lists_what_the_set_states(toys, tmp_path):
    folder, _ = written(toys, "coco", tmp_path / "out")
    table = json.loads((folder / "annotations/instances_train.json").read_text())
    assert [each["name"] for each in table["categories"]] == ["crack", "hole"]
    assert "synthetic" in table["info"]["description"]
