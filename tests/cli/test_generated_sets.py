"""`dmix export`, `dmix detect` and `dmix report` on a small set."""

import json

import pytest

from dmix_data.testing import write_set


@pytest.fixture
def generated(tmp_path):
    return write_set(tmp_path / "toys", 6)


def test_export_writes_each_format_into_a_folder_of_its_own(dmix, generated, tmp_path):
    said = dmix("export", generated, "--format", "coco,webdataset", "--set", "webdataset.samples=2", "-o", "out").output
    assert "Wrote 6 samples into out/coco." in said
    assert (tmp_path / "out/coco/annotations/instances_train.json").exists()
    assert (tmp_path / "out/webdataset/train-000001.tar").exists()
    assert "synthetic" in (tmp_path / "out/coco/README.md").read_text()


def test_export_tells_what_was_written_as_json(dmix, generated):
    told = json.loads(dmix("export", generated, "--format", "yolo-seg", "-o", "out", "--json").stdout)
    (written,) = told["written"]
    assert written["folder"].endswith("yolo-seg")
    assert "overlap their masks by" in written["notes"][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "koko", "-o", "out"], "No format 'koko'. Did you mean 'coco'?"),
        (["--format", "coco", "-o", "toys"], "would lie in the set"),
        (["--format", "coco", "-o", "out", "--set", "semantic.a=1"], "no format 'semantic' is written"),
        (["--format", "coco", "-o", "out", "--set", "polygon=1"], "polygons"),
    ],
)
def test_wrong_use_is_answered_before_anything_is_written(dmix, generated, tmp_path, words, message):
    assert message in dmix("export", generated, *words, exit_code=2).output
    assert not (tmp_path / "out").exists()


def test_a_set_without_a_manifest_is_refused(dmix, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no manifest.jsonl" in dmix("export", "empty", "--format", "coco", "-o", "out", exit_code=1).output


def test_detect_names_marked_pictures_and_copies(dmix, compose, generated):
    compose("-o", "run")
    said = dmix("detect", generated / "images", "--manifest", generated).output
    assert "000003.png: exact copy (has the bytes of images/000003.png)" in said
    assert "6 of 6 pictures show a sign of being generated." in said
    told = json.loads(dmix("detect", "run/images", "--manifest", generated, "--json").stdout)
    assert [each["verdict"] for each in told["pictures"]] == ["no sign"]


def test_report_writes_a_page_and_the_data_card(dmix, generated, tmp_path):
    assert "Wrote" in dmix("report", generated, "--real", generated).output
    assert "real: area in pixels" in (generated / "report.html").read_text()
    assert (generated / "README.md").read_text().startswith("# toys")
    dmix("report", generated, "-o", "page.html", "-q")
    assert (tmp_path / "page.html").exists()
