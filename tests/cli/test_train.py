"""`dmix train`: from folders of pictures to checkpoints."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmix_cli.commands.train import background, object_
from dmix_data.augment import Augmentation
from dmix_data.options import OBJECTS, DataOptions
from dmix_models import checkpoint
from dmix_models.trainer import TrainConfig
from dmix_models.training_setup import Architecture, train_background, train_object

QUICK = ("--steps", 2, "--batch-size", 2, "--warmup", 0, "--preview-samples", 2, "--preview-steps", 2)


@pytest.fixture
def pictures(tmp_path):
    """Two grey pictures, each with the mask of a square."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(90, 110, (40, 40), np.uint8)
        mask = np.zeros((40, 40), np.uint8)
        pixels[12:20, 14:24], mask[12:20, 14:24] = 30, 255
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
        Image.fromarray(mask).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(("role", "channels"), [("background", 3), ("object", 4)])
def test_it_trains_a_model_that_composes_at_once(dmix, pictures, role, channels):
    result = dmix("train", role, pictures, "-o", "run", "--size", "16x16", *QUICK, "--flips", "both")
    model = checkpoint.load("run")
    assert (model.config.role, model.spec.channels, model.spec.size) == (role, channels, (16, 16))
    assert model.config.grey
    assert "loss " in result.stderr
    assert "images/s" in result.stderr
    assert "step 2: checkpoint run" in result.stderr
    assert "step 2: preview run/training/preview-00000002.png" in result.stderr
    assert "Trained run to step 2" in result.stdout
    dmix("compose", "--background", "scene", "--object", "run", "--steps", 12, "-o", "out")
    assert Image.open("out/images/0000.png").size == (24, 24)


def test_a_new_mask_is_noted_once_in_the_words_of_the_options(dmix, pictures):
    words = ("train", "object", pictures, "-o", "run", "--size", "16x16", *QUICK, "--init", "tiles")
    words += ("--verdict-samples", 0, "--memorisation-samples", 0)
    notes = [
        [line for line in dmix(*words, *more).stderr.splitlines() if line.startswith("Note: ")]
        for more in (["--dry-run"], ["-q"], [])
    ]
    assert [len(each) for each in notes] == [1, 0, 0]  # the last one has begun already
    assert "--learning-rate 0.001 --warmup 50, or begin with --init defects" in notes[0][0]


def test_a_second_run_goes_on_where_the_first_stopped(dmix, pictures):
    words = ("train", "background", pictures, "-o", "run", "--size", "16x16", *QUICK)
    dmix(*words, "--quiet")
    assert "run was already trained to step 2" in dmix(*words).stdout
    result = dmix(*words, "--seed", 1, exit_code=2)
    assert "'run' holds an earlier training with other settings:\n  training.seed was 0, is 1\n" in result.stderr


def test_of_a_training_that_came_further_the_truth_is_told(dmix, pictures):
    words = ("train", "background", pictures, "-o", "run", "--size", "16x16", *QUICK, "--decay", "none")
    dmix(*words)
    assert "run was already trained to step 2;" in dmix(*words, "--steps", 1).stdout


def test_quiet_says_nothing(dmix, pictures):
    words = ("--size", "16x16", *QUICK, "--quiet")
    assert dmix("train", "background", pictures, "-o", "run", *words).output == ""


def test_the_model_card_tells_data_licence_and_settings(dmix, pictures):
    words = ("--size", "16x16", *QUICK, "--licence", "CC0-1.0", "--gain", 0.8, 1.25, "--log-every", 1)
    dmix("train", "background", pictures, "-o", "run", *words)
    card = Path("run/README.md").read_text()
    for fact in ("training data: pictures", "licence: CC0-1.0", "batch_size: 2", "0.8"):
        assert fact in card
    lines = Path("run/training/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]


@pytest.mark.parametrize("role", ["background", "object"])
def test_a_dry_run_says_what_it_takes_and_writes_nothing(dmix, pictures, role):
    words = ("train", role, pictures, "-o", "run", "--size", "16x16", *QUICK, "--steps", 4000, "--dry-run")
    result = dmix(*words)
    assert not Path("run").exists()
    assert f"run: {role} of 16x16 pixels" in result.stdout
    for what in ("parameters", "memory, computed", "memory, measured", "steps/s", "images/s in batches of 2"):
        assert what in result.stdout
    assert "for 4000 steps and 4 previews" in result.stdout
    Path("run").mkdir()
    dmix(*words, "--quiet")
    assert list(Path("run").iterdir()) == []


def test_what_a_model_repeats_of_few_pictures_is_told_at_the_end(dmix, pictures):
    for i in range(2, 4):
        pixels = np.random.default_rng(i).integers(90, 110, (40, 40), np.uint8)
        Image.fromarray(pixels).save(pictures / f"{i}.jpg")
        Image.fromarray(np.pad(np.full((8, 10), 255, np.uint8), 15)).resize((40, 40), 0).save(pictures / f"{i}.png")
    words = ("train", "object", pictures, "-o", "run", "--size", "16x16", *QUICK)
    result = dmix(*words, "--memorisation-samples", 3)
    assert "memorisation: No sign of copying: 0 of 3 samples" in result.stderr
    assert "Trained run to step 2; see run/training/report.html." in result.stdout
    page = Path("run/training/report.html").read_text()
    assert "3 samples, 4 training crops in 4 groups" in page


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to be caught")
def test_a_signal_ends_it_after_a_step_that_is_saved(dmix, pictures):
    words = f"train background {pictures} -o run --size 16x16 --batch-size 2 --steps 100000 --mixed-precision no"
    with subprocess.Popen(
        [sys.executable, "-m", "dmix_cli", *words.split()], stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not Path("run/training/metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    (step,) = re.findall(r"SIGTERM: stopped after step (\d+) of 100000, which is saved\. Run the same", stderr)
    (state,) = Path("run/training").glob("state-*")
    assert state.name == f"state-{int(step):08d}"
    assert not Path("run/training/owner.json").exists()


def test_the_verdict_ends_the_summary(dmix, pictures):
    words = ("train", "object", pictures, "-o", "run", "--size", "16x16", *QUICK, "--verdict-samples", 3)
    result = dmix(*words)
    assert "The model is not ready (" in result.stdout
    assert "mixed precision: " in result.stderr
    assert "The model is not ready (" in dmix(*words).stdout  # it is kept


def test_a_folder_without_pictures_ends_with_1(dmix):
    Path("empty").mkdir()
    result = dmix("train", "background", "empty", "-o", "run", *QUICK, exit_code=1)
    assert "No pictures below 'empty'" in result.stderr


def test_an_empty_mask_ends_with_1(dmix, pictures):
    Image.new("L", (40, 40)).save(pictures / "0.png")
    result = dmix("train", "object", pictures, "-o", "run", *QUICK, exit_code=1)
    assert "masks show no object" in result.stderr


@pytest.mark.parametrize(
    "words", [["--steps", 0], ["--learning-rate", 0], ["--ema-decay", 1], ["--size", 64], ["--flips", "left"]]
)
def test_values_out_of_range_end_with_2(dmix, pictures, words):
    dmix("train", "background", pictures, "-o", "run", *QUICK, *words, exit_code=2)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "30x30"], "size is 30 x 30; the network needs sides that are multiples of 4"),
        (["--size", "7x7"], "size is 7 x 7; the network needs sides that are multiples of 2"),
        (["--gain", 1.4, 0.7], "--gain is (1.4, 0.7): expected two factors, 0 < low <= high"),
        (["--seed", 2**64], f"--seed is {2**64}: Input should be less than {2**63}"),
        (["-o", "/"], "--name is ''"),
        (["--preview-steps", 2000], "preview_steps is 2000; the model's noise has 1000 steps"),
        (["--mask-rule", "foo"], "Unknown mask rule 'foo'"),
    ],
)
def test_settings_that_do_not_fit_end_with_2_and_are_explained(dmix, pictures, words, message):
    role = "object" if "--mask-rule" in words else "background"
    result = dmix("train", role, pictures, "-o", "run", "--size", "16x16", *QUICK, *words, exit_code=2)
    assert message in " ".join(result.stderr.split())
    assert not Path("run").exists()


def test_a_model_may_be_trained_into_the_folder_that_one_is_in(dmix, pictures, monkeypatch):
    Path("here").mkdir()
    monkeypatch.chdir("here")
    dmix("train", "background", pictures, "-o", ".", "--size", "16x16", *QUICK)
    assert checkpoint.load(".").config.name == "here"


@pytest.mark.parametrize(("command", "function"), [(background, train_background), (object_, train_object)])
def test_every_setting_is_an_option_with_the_same_default(command, function, tmp_path):
    own = inspect.signature(function).parameters
    settings = {name: own[name].default for name in ("size",)} | Architecture()._asdict()
    settings |= {name: field.default for name, field in DataOptions.model_fields.items()}
    settings |= {name: field.default for name, field in TrainConfig.model_fields.items()}
    settings |= {name: field.default for name, field in Augmentation.model_fields.items()}
    del settings["augment"], settings["steps"]
    if command is background:
        for name in ("mask_rule", "mask_suffix", "classes", "skip_empty", "pairs", *OBJECTS):
            del settings[name]
        del settings["mask_loss_weight"], settings["mask_target"], settings["label_dropout"]
    options = command.make_context("train", [str(tmp_path), "-o", "run", "--steps", "1"]).params
    assert {name: options.get(name, "no such option") for name in settings} == settings
