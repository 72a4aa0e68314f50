"""What is wrong with what was typed is said before anything is written, and what to do about it."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock
from PIL import Image

from dmix_cli.main import main
from dmix_data.data_card import data_card
from dmix_data.generated_set import read_info
from dmix_data.stored_set import StoredSet
from dmix_factory import generate

from .conftest import tree

QUICK = ["--steps", "4", "--timesteps", "resamples=0", "--workers", "1"]


@pytest.fixture
def typed(installed, photographs, tmp_path):
    """Runs `dmix generate` on the photographs into tmp_path / "set"; later options replace earlier ones."""

    def run(*words: object) -> Result:
        asked = ["generate", "--backgrounds", photographs, "--object", "disc", "-n", 2, *QUICK, "-o", tmp_path / "set"]
        return CliRunner().invoke(main, [*map(str, asked), *map(str, words)])

    return run


@pytest.fixture(scope="module")
def made(toys, photographs, tmp_path_factory):
    """A finished set."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(toys))
        patch.setenv("PYTHONPATH", str(toys))
        rules = {"steps": 4, "timesteps": {"resamples": 0}}
        generate(backgrounds=str(photographs), objects=["disc"], n=2, out=folder / "set", **rules)
    return folder / "set"


def only(folder: Path, *names: str) -> Path:
    """A folder of small photographs with these names."""
    folder.mkdir()
    for name in names:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)).save(folder / name)
    return folder


def boxes(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--per-image", "200"], ["found no places on the background", "min_distance 0", "`per_image`"]),
        (["--per-image", "2", "--min-distance", "60"], ["min_distance 60"]),
        (["--place", "foreground"], ["No foreground is found in", "plain background", "`place` random"]),
        (["-n", "0"], ["0 is not in the range x>=1"]),
        (["-n", "1000000000000"], ["1000000000000 is more than 1000000, the most that is allowed"]),
        (["--format", "coco,yolo"], ["No format 'yolo'. Did you mean 'yolo-seg'?"]),
        (["--object", "disc@1,2,3"], ["MODEL@x,y,w,h in whole pixels"]),
        (["--object", "disc@30,30,20,20"], ["The box 30,30,20,20 of the object 'disc' leaves the background"]),
        (["--boxes", "no-such.csv"], ["no-such.csv", "does not exist"]),
        (["--groups", "("], ["groups is '(', which is no regular expression"]),
        (["--licence", "disk=CC0"], ["'disk', which is no part of the set", "Did you mean 'disc'", "WHAT=TEXT"]),
        (["--backgrounds", "no-such-folder"], ["No denoiser 'no-such-folder'"]),
    ],
)
@pytest.mark.parametrize("dry", [False, True])
def test_what_cannot_be_is_refused_and_nothing_written(typed, tmp_path, words, messages, dry):
    result = typed(*words, *(["--dry-run"] if dry else []))
    assert result.exit_code == 2, result.output
    for message in messages:
        assert message in result.stderr
    assert not (tmp_path / "set").exists()


def test_an_unreadable_background_is_named(typed, tmp_path):
    photos = only(tmp_path / "photos", "a.png", "b.png")
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:300])
    result = typed("--backgrounds", photos)
    assert result.exit_code != 0
    assert "b.png" in result.stderr
    assert "a.png" not in result.stderr
    assert not (tmp_path / "set").exists()


def test_a_photograph_that_is_smaller_than_a_box_is_named(typed, tmp_path):
    photos = only(tmp_path / "photos", "a.png")
    Image.new("L", (30, 11)).save(photos / "low.png")
    result = typed("--backgrounds", photos)
    assert result.exit_code == 2
    assert "'low.png' has 30x11 pixels; expected at least 12x12" in result.stderr
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["x,y,width,height", "1,1,0,4"], "Line 2 of"),
        (["image,x,y,width,height", "zero.png,1,1,4,4"], "lists boxes of 'zero.png', but no photograph is called so"),
        (["image,x,y,width,height", "0.png,50,30,9,9"], "leaves the background '0.png' of 56x40 pixels"),
        (["x,y,width,height,class", "1,1,4,4,disk"], "which no object has. Did you mean 'disc'?"),
    ],
)
def test_a_list_of_boxes_that_does_not_fit_is_refused(typed, tmp_path, lines, message):
    result = typed("--boxes", boxes(tmp_path / "b.csv", *lines))
    assert result.exit_code in (1, 2), result.output
    assert message in result.stderr
    assert not (tmp_path / "set").exists()


def test_a_folder_of_another_recipe_is_left_as_it_is(typed, made, tmp_path):
    shutil.copytree(made, tmp_path / "set")
    before = tree(tmp_path / "set")
    for words, message in ((["--seed", "9", "--resume"], "made with other settings"), ([], "is not empty")):
        result = typed(*words)
        assert result.exit_code != 0
        assert message in result.stderr
        assert tree(tmp_path / "set") == before


def test_a_full_disk_is_told_with_what_to_do(typed, tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = typed()
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr
    assert not [path for path in tree(tmp_path / "set") if path.endswith((".png", ".dmix-part"))]
    assert typed("--resume").exit_code == 0


def test_licences_and_sources_stand_in_the_set_and_its_card(typed, tmp_path):
    words = ["--licence", "CC-BY-4.0", "--licence", "photographs=ours alone"]
    assert typed(*words).exit_code == 0
    info = read_info(tmp_path / "set")
    assert info.licences == {"set": "CC-BY-4.0", "photographs": "ours alone"}
    assert info.sources["disc"] == "a model"
    assert info.sources["photographs"].startswith("5 photographs of a folder 'normal")
    card = data_card(StoredSet.open(tmp_path / "set"))
    assert "contains synthetic images" in card
    assert "| photographs | 5 photographs of a folder" in card
    assert "| disc | a model | not stated |" in card
    before = tree(tmp_path / "set")
    assert typed("--resume", *words, "--licence", "disc=MIT").exit_code == 0
    assert read_info(tmp_path / "set").licences["disc"] == "MIT"
    assert {path: data for path, data in tree(tmp_path / "set").items() if path != "set.json"} == {
        path: data for path, data in before.items() if path != "set.json"
    }


def test_two_runs_in_one_folder_are_refused(typed, made, tmp_path):
    shutil.copytree(made, tmp_path / "set")
    before = tree(tmp_path / "set")
    with FileLock(tmp_path / "set/.lock"):
        result = typed("--resume")
    assert result.exit_code != 0
    assert "Another process writes to" in result.stderr
    assert "Traceback" not in result.stderr
    assert {path: data for path, data in tree(tmp_path / "set").items() if path != ".lock"} == before


def test_a_damaged_line_of_a_manifest_is_named_wherever_it_is_read(typed, made, tmp_path):
    shutil.copytree(made, tmp_path / "set")
    manifest = tmp_path / "set/manifest.jsonl"
    first, second = manifest.read_text().splitlines()
    manifest.write_text(f"{first}\n{second[:40]}\n")
    before = tree(tmp_path / "set")
    words = [["verify"], ["export", "--format", "coco", "-o", str(tmp_path / "exported")], ["report"]]
    for command, *more in words:
        result = CliRunner().invoke(main, [command, str(tmp_path / "set"), *more])
        assert result.exit_code != 0, command
        assert "ine 2 of" in result.stderr
        assert "manifest.jsonl" in result.stderr
    result = typed("--resume")
    assert result.exit_code != 0
    assert "ine 2 of" in result.stderr
    assert tree(tmp_path / "exported") == {}
    assert tree(tmp_path / "set") == before


def test_a_missing_file_is_named(made, tmp_path):
    shutil.copytree(made, tmp_path / "set")
    (tmp_path / "set/images/000001.png").unlink()
    before = tree(tmp_path / "set")
    result = CliRunner().invoke(main, ["verify", str(tmp_path / "set"), "--json"])
    assert result.exit_code == 1
    assert "images/000001.png is missing" in json.loads(result.stdout)["problems"][0]
    words = ["export", str(tmp_path / "set"), "--format", "coco", "-o", str(tmp_path / "exported")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code != 0
    assert "'images/000001.png' of sample 1 is missing" in result.stderr
    assert tree(tmp_path / "exported") == {}
    assert tree(tmp_path / "set") == before


@pytest.mark.parametrize("target", ["set", "set/images"])
def test_an_export_onto_the_set_itself_is_refused(made, tmp_path, target):
    shutil.copytree(made, tmp_path / "set")
    before = tree(tmp_path)
    words = ["export", str(tmp_path / "set"), "--format", "coco", "-o", str(tmp_path / target)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code != 0
    assert "would lie in the set" in result.stderr
    assert tree(tmp_path) == before


def test_an_unknown_format_is_refused_with_the_nearest_name(made, tmp_path):
    words = ["export", str(made), "--format", "yolo_seg", "-o", str(tmp_path / "exported")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "No format 'yolo_seg'. Did you mean 'yolo-seg'?" in result.stderr
    assert not (tmp_path / "exported").exists()
