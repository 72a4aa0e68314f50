"""`dmix train object --pairs`: a class of windows without an object, from the training to the composition."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmix_models import checkpoint
from dmix_models.closing import read_verdict

QUICK = (
    "--size",
    "16x16",
    "--steps",
    2,
    "--batch-size",
    2,
    "--warmup",
    0,
    "--decay",
    "none",
    "--mixed-precision",
    "no",
)
QUICK += ("--preview-samples", 2, "--preview-steps", 2, "--verdict-samples", 3, "--memorisation-samples", 3)
BOTH = ("--classes", "blowhole,break")


@pytest.fixture
def data(save_tile):
    """Six pictures with the mask of a square, in the classes blowhole and break of the magnetic tiles' layout."""
    for i in range(6):
        pixels = np.random.default_rng(i).integers(90, 110, (40, 40), np.uint8)
        mask = np.zeros((40, 40), np.uint8)
        pixels[4:12, 4 + i : 12 + i], mask[4:12, 4 + i : 12 + i] = 30, 255
        root = save_tile(("MT_Blowhole", "MT_Break")[i % 2], i, pixels, mask)
    return root


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        ([], ("object", "none")),
        (["--classes", "break"], ("break", "none")),
        (BOTH, ("blowhole", "break", "none", "any")),
        ((*BOTH, "--label-dropout", 0), ("blowhole", "break", "none")),
    ],
)
def test_the_checkpoint_has_the_class_of_windows_without_an_object(dmix, data, words, classes):
    dmix("train", "object", data, "--pairs", "-o", "run", *QUICK, *words)
    config = checkpoint.load("run").config
    assert (config.classes, config.pairs) == (classes, True)
    assert config.object_classes == tuple(name for name in classes if name != "none")
    assert "without a window free of objects" in Path("run/README.md").read_text()


@pytest.fixture
def run(dmix, data):
    """What was printed when a model of both classes was trained."""
    return dmix("train", "object", data, "--pairs", "-o", "run", *QUICK, *BOTH)


def test_an_interrupted_run_ends_in_the_same_bits(dmix, data):
    words = ("train", "object", data, *BOTH, *QUICK, "--hold-out", 0.4, "-q")
    dmix(*words, "--pairs", "--steps", 4, "-o", "whole")
    dmix(*words, "--pairs", "-o", "parts")
    dmix(*words, "--pairs", "--steps", 4, "-o", "parts")
    whole, parts = (Path(out, "training/state-00000004") for out in ("whole", "parts"))
    for name in ("network", "average", "optimizer"):
        assert (whole / f"{name}.safetensors").read_bytes() == (parts / f"{name}.safetensors").read_bytes()
    result = dmix(*words, "-o", "parts", exit_code=2)
    assert "data.pairs was True, is not set" in result.stderr
    assert "data.left out.without a window free of objects was 0, is not set" in result.stderr


def test_empty_masks_of_windows_without_an_object_are_not_judged(run):
    findings = read_verdict(Path("run/training")).findings
    about = {name: {each.about for each in findings if each.text.startswith(f"{name}: ")} for name in ("any", "none")}
    assert about["none"] == {"light", "grain"}
    assert about["any"] >= {"light", "grain", "objects"}
    (seen,) = (each.text for each in findings if each.about == "seen")
    assert seen.endswith("there are 3 of blowhole, 3 of break, 6 of none, 6 of any")
    record = json.loads(Path("run/training/memorisation.json").read_text())
    assert [(each["class"], each["crops"]) for each in record["classes"]] == [
        ("blowhole", 3),
        ("break", 3),
        ("any", 6),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("compose", "--background", "tiles", "--object", "run:none", "--steps", 4),
        ("generate", "--backgrounds", "tiles", "--object", "run:none", "-n", 1, "--steps", 4),
    ],
)
def test_windows_without_an_object_are_no_objects_to_compose(dmix, run, words):
    result = dmix(*words, "-o", "out", exit_code=2)
    assert "Region 'none' cannot be an object: its model has learned this class from windows" in result.stderr
    assert not Path("out").exists()


def test_a_model_alone_takes_no_class_by_itself(dmix, run):
    result = dmix("compose", "--background", "tiles", "--object", "run", "--steps", 4, exit_code=2)
    assert "run:CLASS with one of its classes: blowhole, break, any." in result.stderr


@pytest.mark.parametrize("words", [(), BOTH])
def test_commands_about_models_know_what_it_was_trained_on(dmix, data, words):
    dmix("train", "object", data, "--pairs", "-o", "run", *QUICK, *words, "-q")
    result = dmix("models", "memorisation", "run", data, "-n", 3, "--steps", 2, "--json")
    kinds = checkpoint.load("run").config.object_classes
    assert [each["class"] for each in json.loads(result.stdout)["classes"]] == [*kinds]
    dmix("models", "samples", "run", "-n", 3, "--steps", 2, "--beside", data, "-o", "sheet.png")
    real = 2 if words else 1
    assert Image.open("sheet.png").height // 100 == real + len(kinds) + 1


def test_objects_without_a_window_are_told(dmix, data, caplog):
    full = data / "MT_Break/Imgs/exp1_num_1000.png"
    mask = np.asarray(Image.open(full)).copy()
    mask[20:36:15, 4:36] = 255
    mask[4:36, 20:36:15] = 255
    Image.fromarray(mask).save(full)
    dmix("train", "object", data, "--pairs", "-o", "run", *QUICK, "-q")
    assert "1 of 6 objects are learned without a window free of objects" in caplog.text


def test_a_class_of_that_name_is_refused(dmix, data):
    (data / "MT_Break").rename(data / "MT_none")
    result = dmix("train", "object", data, "--pairs", "-o", "run", *QUICK, exit_code=1)
    assert "class 'none'" in result.stderr


def test_where_objects_are_everywhere_there_is_nothing_to_learn(dmix, data):
    result = dmix("train", "object", data, "--pairs", "-o", "run", *QUICK, "--size", "40x40", exit_code=1)
    assert "No photograph of the 6 objects has a window of 40x40 pixels free of objects" in result.stderr
