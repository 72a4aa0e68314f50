"""Sets: composed sample by sample, the same bytes however they are made."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dmix_cli.main import main
from dmix_core.errors import DmixError
from dmix_core.recipe import Recipe
from dmix_data.generated_set import entries, read_info
from dmix_factory import generate

from .conftest import tree

FAST = {"steps": 6, "timesteps": {"jump_length": 2, "resamples": 1}}


@pytest.fixture
def settings(installed, photographs):
    return {"backgrounds": str(photographs), "objects": ["disc"], "per_image": "1-2", "n": 7, "val": 0.2, **FAST}


def test_a_set_has_a_picture_a_mask_and_a_line_for_each_sample(settings, tmp_path):
    report = generate(**settings, out=tmp_path / "set")
    found = list(entries(tmp_path / "set"))
    assert [entry.number for entry in found] == [*range(7)]
    assert (report.samples, report.made) == (7, 7)
    assert {entry.split for entry in found} == {"train", "val"}
    info = read_info(tmp_path / "set")
    assert (info.classes, info.real) == (("disc",), True)
    for entry in found:
        mask = np.asarray(Image.open(tmp_path / "set" / entry.mask))
        assert mask.shape == (entry.height, entry.width)
        assert {*np.unique(mask)} == {0, *(each.value for each in entry.objects)}
        for each in entry.objects:
            y, x = np.nonzero(mask == each.value)
            assert each.box == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
            assert each.area == len(x)
        for path, digest in entry.sha256.items():
            assert hashlib.sha256((tmp_path / "set" / path).read_bytes()).hexdigest() == digest


def test_every_pixel_outside_the_masks_is_the_photograph_s(settings, photographs, tmp_path):
    generate(**settings, out=tmp_path / "set")
    for entry in entries(tmp_path / "set"):
        image, photo = (
            np.asarray(Image.open(path).convert("RGB"))
            for path in (tmp_path / "set" / entry.image, photographs / entry.background)
        )
        outside = np.asarray(Image.open(tmp_path / "set" / entry.mask)) == 0
        assert (image[outside] == photo[outside]).all()
        assert (image[~outside] != photo[~outside]).any()


def test_workers_do_not_change_a_byte(settings, tmp_path):
    for workers in (1, 3):
        generate(**settings, out=tmp_path / str(workers), workers=workers)
    assert tree(tmp_path / "1") == tree(tmp_path / "3")


def test_a_background_model_fills_the_canvas(settings, tmp_path):
    generate(**settings | {"backgrounds": "scene", "n": 3}, out=tmp_path / "set")
    found = list(entries(tmp_path / "set"))
    assert {(entry.width, entry.height) for entry in found} == {(56, 40)}
    assert len({entry.sha256[entry.image] for entry in found}) == 3
    info = read_info(tmp_path / "set")
    assert not info.real
    assert {"dmix-factory", "torch"} <= info.made_with.keys()
    assert info.made_with["threads"] == "1"


def test_a_set_goes_on_where_it_was_interrupted(settings, tmp_path):
    generate(**settings, out=tmp_path / "whole")

    def stop(unit):
        if unit.entries[0].number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(**settings, out=tmp_path / "set", on_unit=stop)
    with (tmp_path / "set" / "manifest.jsonl").open("ab") as manifest:
        manifest.write(b'{"format_ver')  # as a killed process leaves it
    report = generate(**settings, out=tmp_path / "set", resume=True)
    assert (report.samples, report.made) == (7, 3)
    assert tree(tmp_path / "set") == tree(tmp_path / "whole")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_a_killed_run_resumes_to_the_same_bytes(settings, tmp_path):
    generate(**settings | {"n": 40}, out=tmp_path / "whole")
    (tmp_path / "settings.json").write_text(json.dumps(settings | {"n": 40}))
    words = ["generate", tmp_path / "settings.json", "-o", tmp_path / "set", "--resume"]
    command = [sys.executable, "-m", "dmix_cli", *map(str, words), "--workers"]
    for lines, workers in ((3, "1"), (17, "2")):
        with subprocess.Popen([*command, workers], stderr=subprocess.DEVNULL) as process:
            _wait_for(tmp_path / "set" / "manifest.jsonl", lines, process)
            process.kill()
    generate(**settings | {"n": 40}, out=tmp_path / "set", resume=True)
    assert tree(tmp_path / "set") == tree(tmp_path / "whole")


def _wait_for(manifest: Path, lines: int, process: subprocess.Popen) -> None:
    """Until the manifest has so many lines."""
    end = time.monotonic() + 100
    while process.poll() is None and time.monotonic() < end:
        if manifest.exists() and manifest.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.005)
    assert process.poll() is None, "it ended before it could be killed"


def test_other_settings_are_not_mixed_into_a_set(settings, tmp_path):
    generate(**settings, out=tmp_path / "set")
    with pytest.raises(DmixError, match="made with other settings"):
        generate(**settings | {"seed": 1}, out=tmp_path / "set", resume=True)
    with pytest.raises(DmixError, match="is not empty"):
        generate(**settings, out=tmp_path / "set")


def test_masks_beside_photographs_are_no_backgrounds(settings, photographs, tmp_path):
    for i in (0, 1):
        with Image.open(photographs / f"{i}.png") as photo:
            photo.save(tmp_path / f"{i}.jpg")
            Image.new("L", photo.size).save(tmp_path / f"{i}.png")
    generate(**settings | {"backgrounds": str(tmp_path), "n": 4}, out=tmp_path.parent / "set-of-pairs")
    used = {entry.background for entry in entries(tmp_path.parent / "set-of-pairs")}
    assert used == {"0.jpg", "1.jpg"}


def test_the_folder_of_photographs_may_move(settings, photographs, tmp_path):
    generate(**settings | {"n": 2}, out=tmp_path / "set")
    shutil.copytree(photographs, tmp_path / "elsewhere")
    moved = settings | {"n": 2, "backgrounds": str(tmp_path / "elsewhere")}
    assert generate(**moved, out=tmp_path / "set", resume=True).made == 0


def test_a_damaged_photograph_is_named_before_work_begins(settings, photographs, tmp_path):
    (tmp_path / "normal").mkdir()
    (tmp_path / "normal" / "torn.png").write_bytes((photographs / "0.png").read_bytes()[:900])
    with pytest.raises(DmixError, match=r"torn\.png"):
        generate(**settings | {"backgrounds": str(tmp_path / "normal")}, out=tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_what_does_not_fit_is_known_before_work_begins(settings, tmp_path):
    with pytest.raises(DmixError, match="found no places on the background"):
        generate(**settings | {"per_image": "1-40", "n": 40}, out=tmp_path / "set")
    (tmp_path / "normal").mkdir()
    Image.new("L", (30, 11)).save(tmp_path / "normal" / "small.png")
    with pytest.raises(DmixError, match=r"'small\.png' has 30x11 pixels; expected at least 12x12"):
        generate(**settings | {"backgrounds": str(tmp_path / "normal"), "val": 0}, out=tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_too_few_photographs_for_a_split_are_refused(settings, photographs, tmp_path):
    (tmp_path / "normal").mkdir()
    (tmp_path / "normal" / "one.png").write_bytes((photographs / "0.png").read_bytes())
    with pytest.raises(DmixError, match="1 groups of backgrounds for 2 parts of a split"):
        generate(**settings | {"backgrounds": str(tmp_path / "normal")}, out=tmp_path / "set")


def test_rules_come_from_a_recipe(settings, tmp_path, installed):
    base = Recipe.from_data({"regions": [{"name": "below", "model": "scene"}], "steps": 4, "merge_from": 0.5})
    base.write(tmp_path / "rules.json")
    given = {name: value for name, value in settings.items() if name not in FAST}
    recipe = str(tmp_path / "rules.json")
    rules = {"timesteps": {"resamples": 0}, "recipe": recipe, "n": 2}
    generate(**given | rules, out=tmp_path / "by-recipe")
    generate(**given | rules | {"steps": 4, "merge_from": 0.5}, out=tmp_path / "by-settings")
    by_recipe, by_settings = (
        {path: data for path, data in tree(tmp_path / name).items() if path.endswith(".png")}
        for name in ("by-recipe", "by-settings")
    )
    assert by_recipe == by_settings


def test_the_command_generates_what_python_does(settings, photographs, tmp_path):
    generate(**settings, out=tmp_path / "python")
    words = ["generate", "--backgrounds", photographs, "--object", "disc", "--per-image", "1-2", "-n", 7, "--val", 0.2]
    words += ["--steps", 6, "--timesteps", "jump_length=2", "--timesteps", "resamples=1", "-o", tmp_path / "set"]
    result = CliRunner().invoke(main, [*map(str, words), "--workers", "1", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["samples"] == 7
    assert tree(tmp_path / "set") == tree(tmp_path / "python")


def test_what_is_typed_wrong_is_wrong_use(installed, photographs, tmp_path):
    words = ["generate", "--backgrounds", photographs, "--object", "disk", "-n", "2", "-o", tmp_path / "set"]
    result = CliRunner().invoke(main, [*map(str, words)])
    assert result.exit_code == 2
    assert "Did you mean 'disc'?" in result.output


def test_the_finished_set_is_exported_and_a_format_that_is_none_refused(settings, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    words = ["generate", str(tmp_path / "settings.json"), "-o", str(tmp_path / "set"), "--workers", "1"]
    result = CliRunner().invoke(main, [*words, "--format", "coc"])
    assert result.exit_code == 2
    assert not (tmp_path / "set").exists()
    result = CliRunner().invoke(main, [*words, "--format", "coco"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "set-exported/coco").is_dir()


def test_an_option_of_zero_replaces_what_the_file_states(settings, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps(settings | {"n": 1, "seed": 5, "min_contrast": 250}))
    words = ["generate", str(tmp_path / "settings.json"), "-o", str(tmp_path / "set"), "--workers", "1"]
    result = CliRunner().invoke(main, [*words, "--seed", "0", "--min-contrast", "0", "--val", "0"])
    assert result.exit_code == 0, result.output
    source = read_info(tmp_path / "set").source
    assert (source["seed"], source["min_contrast"], source["val"]) == (0, 0, 0)


def test_each_commit_is_an_event(settings, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps(settings | {"n": 2}))
    words = [
        "generate",
        str(tmp_path / "settings.json"),
        "-o",
        str(tmp_path / "set"),
        "--workers",
        "1",
        "--events",
        "-q",
    ]
    result = CliRunner().invoke(main, words)
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(event["done"], event["of"], event["samples"][0]["number"]) for event in events] == [(1, 2, 0), (2, 2, 1)]


def test_in_photographs_objects_listen_early_and_take_a_lower_threshold_by_default(settings, tmp_path, installed):
    def pictures(**changes):
        out = tmp_path / "-".join(map(str, changes.values()))
        generate(**settings | changes, out=out)
        return {path: data for path, data in tree(out).items() if path.startswith("images/")}

    asked = {"n": 2, "steps": 10}
    stated = pictures(**asked, listen_from=0.3, threshold=0.4)
    assert pictures(**asked) == stated
    assert pictures(**asked, listen_from=0.9) != stated
    assert pictures(**asked, threshold=0.05) != stated
    scene = asked | {"backgrounds": "scene"}
    assert pictures(**scene) == pictures(**scene, threshold=0.5) != pictures(**scene, listen_from=0.3)
