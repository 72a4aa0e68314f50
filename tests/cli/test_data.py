"""`dmix data`: what it prints and writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmix_cli.commands.data.timing import timings
from dmix_models.estimate import QuickEstimate


@pytest.fixture
def pairs(tmp_path):
    """Four pictures of 64 x 64, each with the mask of a square."""
    folder = tmp_path / "pairs"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(4):
        pixels = np.random.default_rng(number).integers(90, 110, (64, 64), np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        pixels[20:30, 24:36], mask[20:30, 24:36] = 30, 255
        Image.fromarray(pixels).save(folder / f"images/{number}.png")
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
    return folder


def test_inspect_tells_and_draws(dmix, pairs):
    result = dmix("data", "inspect", pairs, "--no-timing", "-o", "sheet.png")
    for fact in (
        "layout image-mask",
        "pictures   4, 4 with masks",
        "4 objects in 4 pictures",
        "32x32 100%",
        "run next:",
    ):
        assert fact in result.stdout
    assert Image.open("sheet.png").width > 400


def test_inspect_as_json(dmix, pairs):
    record = json.loads(dmix("data", "inspect", pairs, "--no-timing", "--json").stdout)
    assert (record["layout"], record["pictures"]) == ("image-mask", 4)
    assert "sheet" not in record


@pytest.fixture
def costs(monkeypatch):
    """Trainings as they would be measured: so many seconds for a pixel of the grid's area."""
    asked = []

    def quick(role, side, steps):
        asked.append((role, side, steps))
        return QuickEstimate(side * side * 50.0, 3 * 10**9, "cpu, 2 threads")

    monkeypatch.setattr("dmix_models.estimate.quick_estimate", quick)
    return asked


def test_inspect_states_time_and_memory_of_what_it_advises(dmix, pairs, costs):
    takes = json.loads(dmix("data", "inspect", pairs, "--json").stdout)["takes"]
    assert costs == [("background", 64, 20000), ("background", 32, 20000), ("object", 32, 20000)]
    assert [(each["seconds"], each["memory_bytes"]) for each in takes] == [
        (seconds, 3 * 10**9) for seconds in (204800, 51200, 51200)
    ]
    assert "14:13:20, 3.0 GB on cpu, 2 threads: dmix train object" in dmix("data", "inspect", pairs).stdout


def test_of_a_training_that_takes_days_a_smaller_one_is_stated_too(costs):
    command = "dmix train object cars -o object --size 128x128 --scale 0.60 --steps 20000 --every 10"
    first, second, third = timings([command, "dmix data crops cars -o car-crops --size 128x128"])
    assert first["command"] == command
    assert second["command"] == "dmix train object cars -o object --size 64x64 --scale 0.3 --steps 20000 --every 10"
    assert third["command"] == "dmix train object cars -o object --size 32x32 --scale 0.15 --steps 20000 --every 10"
    assert (first["seconds"], second["seconds"], third["seconds"]) == (819200, 204800, 51200)


def test_inspect_without_timing_measures_nothing(dmix, pairs, costs):
    assert "takes" not in json.loads(dmix("data", "inspect", pairs, "--no-timing", "--json").stdout)
    assert costs == []


def test_inspect_counts_what_filters_leave_out_and_advises_the_same_ones(dmix, pairs):
    options = ("--max-aspect", 0.5, "--skip-truncated", "--no-timing")
    record = json.loads(dmix("data", "inspect", pairs, *options, "--json").stdout)
    assert record["classes"]["object"]["left_out"] == {"with a larger aspect than max_aspect": 4}
    assert "left out     4 with a larger aspect than max_aspect" in dmix("data", "inspect", pairs, *options).stdout


def test_what_inspect_says_to_run_next_can_be_run(dmix, pairs):
    commands = json.loads(dmix("data", "inspect", pairs, "--no-timing", "--json").stdout)["next"]
    quick = ("--batch-size", 2, "--warmup", 0, "--preview-samples", 2, "--preview-steps", 2, "--quiet")
    for command in commands:
        words = command.replace("--steps 20000", "--steps 1").split()
        dmix(*words[1:], *quick)
    assert {path.parent.name for path in Path().glob("*/model.safetensors")} == {"background", "object"}


def test_crops_are_cut_and_learned_from(dmix, pairs):
    result = dmix("data", "crops", pairs, "-o", "crops", "--size", "16x16", "--hold-out", 0.5)
    assert "Cut 4 objects into crops: 4 object, 2 test, 2 train" in result.stdout
    assert Image.open("crops/object/000000.png").size == (16, 16)
    quick = ("--steps", 1, "--batch-size", 2, "--warmup", 0, "--preview-samples", 2, "--preview-steps", 2)
    dmix("train", "object", "crops", "-o", "run", "--size", "16x16", *quick)
    assert "pictures: 2" in Path("run/README.md").read_text()


def test_training_lists_what_it_leaves_out(dmix, pairs, caplog):
    (pairs / "images/0.png").write_text("no picture")
    quick = ("--steps", 1, "--batch-size", 2, "--warmup", 0, "--preview-samples", 2, "--preview-steps", 2)
    words = ("train", "object", pairs, "-o", "run", "--size", "16x16", *quick)
    assert "Cannot read" in dmix(*words, exit_code=1).stderr
    assert not Path("run").exists()
    dmix(*words, "--on-error", "skip")
    assert "Left out 1 of 4 pictures" in caplog.text
    assert "images/0.png: Cannot read" in caplog.text


def test_a_single_picture_is_not_learned_from(dmix, pairs):
    for number in range(1, 4):
        for part in ("images", "masks"):
            (pairs / part / f"{number}.png").unlink()
    result = dmix("train", "object", pairs, "-o", "run", "--steps", 1, exit_code=1)
    assert "only one picture; expected at least two" in result.stderr


def test_crops_as_json(dmix, pairs):
    (pairs / "images/0.png").write_text("no picture")
    record = json.loads(dmix("data", "crops", pairs, "-o", "crops", "--on-error", "skip", "--json").stdout)
    assert (record["crops"], record["parts"], record["left_out"]) == (3, {"train": 3}, {})
    (failed,) = record["failed"]
    assert failed["file"].endswith("0.png")


def test_a_context_the_wrong_way_round_ends_with_2(dmix, pairs):
    result = dmix("data", "crops", pairs, "-o", "crops", "--context", 2, 1.5, exit_code=2)
    assert "expected the smaller factor first" in result.stderr


def test_a_folder_without_pictures_ends_with_1(dmix):
    Path("empty").mkdir()
    assert "No pictures below" in dmix("data", "inspect", "empty", exit_code=1).stderr


@pytest.mark.parametrize(
    "words",
    [
        ["data", "inspect", "--layout", "mvtek"],
        ["data", "crops", "-o", "out", "--layout", "mvtek"],
        ["data", "crops", "-o", "out", "--mask-rule", "above:3"],
        ["train", "background", "-o", "out", "--steps", 1, "--layout", "mvtek"],
    ],
)
def test_unknown_layouts_and_rules_end_with_2(dmix, pairs, words):
    result = dmix(*words[:2], pairs, *words[2:], exit_code=2)
    assert "Did you mean 'mvtec'?" in result.stderr or "Unknown mask rule 'above:3'" in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1", "1e300", str(10**30)])
@pytest.mark.parametrize("option", ["--scale", "--every", "--min-area", "--merge-distance"])
def test_numbers_out_of_bounds_end_with_2(dmix, pairs, option, value):
    result = dmix("train", "object", pairs, "-o", "run", "--steps", 1, option, value, exit_code=2)
    assert f"Invalid value for '{option}'" in result.stderr
    assert not Path("run").exists()
