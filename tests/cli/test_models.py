"""`dmix models`: list, show, import."""

import hashlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from dmix_core.recipe import Recipe
from dmix_models import checkpoint
from dmix_models.config import ModelConfig
from dmix_models.unet import UNet, UNetConfig

CONFIG = ModelConfig(
    name="small",
    role="object",
    size=(8, 8),
    mask_channels=1,
    network=UNetConfig(in_channels=4, out_channels=4, model_channels=8, num_res_blocks=1, norm_groups=4),
)


@pytest.fixture
def folder(tmp_path):
    card = checkpoint.ModelCard(data="nuts", steps=7, command="dmix train", licence="CC0-1.0")
    return checkpoint.save(tmp_path / "small", CONFIG, UNet(CONFIG.network).state_dict(), card)


@pytest.mark.parametrize("words", [[], ["list"]])
def test_the_bundled_models_are_listed(dmix, folder, monkeypatch, words):
    monkeypatch.setattr(checkpoint, "BUNDLED", folder.parent)
    head, line = dmix("models", *words).stdout.splitlines()
    assert head.split() == ["name", "role", "size", "parameters", "trained", "on"]
    parameters = sum(weight.numel() for weight in UNet(CONFIG.network).parameters())
    assert line.split() == ["small", "object", "8x8", f"{parameters:,}", "nuts"]


def test_of_two_facts_of_one_name_the_first_is_listed(dmix, folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "BUNDLED", folder.parent)
    with (folder / checkpoint.CARD).open("a") as card:
        card.write("\n## Notes\n\n- training data: bolts\n")
    assert dmix("models", "list").stdout.split()[-1] == "nuts"


def test_a_model_is_shown_with_card_config_and_a_check(dmix, folder):
    text = dmix("models", "show", folder).stdout
    assert "- training data: nuts" in text
    assert '"mask_channels": 1' in text
    assert "fit the config and the checksum in the card" in text


def test_changed_weights_are_told(dmix, folder):
    weights = folder / checkpoint.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert "changed or damaged" in dmix("models", "show", folder, exit_code=1).stderr


def test_an_unknown_model_is_told(dmix):
    assert "No model 'nowhere'" in dmix("models", "show", "nowhere", exit_code=2).stderr


@pytest.mark.parametrize("typed", ["small", "checkpoint:small"])
def test_a_recipe_says_where_the_model_is_and_which_weights_it_has(dmix, folder, typed):
    dmix("compose", "--background", "scene", "--object", typed, "--steps", 12)
    recipe = Recipe.read("dmix-out/recipe.json")
    reference = recipe.regions[1].model
    assert reference == typed.replace("small", str(folder))
    sha256 = hashlib.sha256((folder / checkpoint.WEIGHTS).read_bytes()).hexdigest()
    assert recipe.made_with[f"model {reference}"] == sha256[:16]


@pytest.mark.parametrize("words", [["list"], ["show", "small"]])
def test_a_damaged_card_is_told(dmix, folder, monkeypatch, words):
    monkeypatch.setattr(checkpoint, "BUNDLED", folder.parent)
    (folder / checkpoint.CARD).write_bytes(b"\xff")
    assert "Cannot read the model card" in dmix("models", *words, exit_code=1).stderr


def test_an_unknown_preset_is_wrong_use(dmix):
    Path("model.pt").write_bytes(b"")
    words = ("models", "import", "model.pt", "--preset", "256x256_difusion", "-o", "out")
    assert "Did you mean '256x256_diffusion'?" in dmix(*words, exit_code=2).stderr


def test_weights_that_do_not_fit_the_preset_are_told(dmix):
    torch.save({"weight": torch.zeros(2)}, "model.pt")
    words = ("models", "import", "model.pt", "--preset", "lsun_cat", "-o", "out")
    assert "does not fit 'lsun_cat'" in dmix(*words, exit_code=1).stderr
    assert not Path("out").exists()


def test_weights_that_fit_become_a_checkpoint(dmix, monkeypatch):
    monkeypatch.setattr("dmix_models.importers.PRESETS", {"small": CONFIG})
    torch.save(UNet(CONFIG.network).state_dict(), "model.pt")
    assert "Wrote out" in dmix("models", "import", "model.pt", "--preset", "small", "-o", "out").stdout
    assert checkpoint.load("out").config == CONFIG


@pytest.mark.parametrize("classes", [(), ("dent", "hole", "any")])
def test_samples_stand_below_real_crops_in_a_row_for_each_class(dmix, tmp_path, classes):
    unet = CONFIG.network.model_copy(update={"num_classes": len(classes) or None})
    config = CONFIG.model_copy(update={"classes": classes, "network": unet})
    card = checkpoint.ModelCard(data="nuts", steps=7, command="dmix train", licence="CC0-1.0")
    model = checkpoint.save(tmp_path / "model", config, UNet(unet).state_dict(), card)
    for i, name in enumerate(["dent", "hole"] * 2):
        images = tmp_path / "data" / f"MT_{name}" / "Imgs"
        images.mkdir(parents=True, exist_ok=True)
        mask = Image.new("L", (16, 16))
        mask.paste(255, (5, 5, 9, 9))
        mask.save(images / f"exp1_num_{900 * i}.png")
        Image.new("L", (16, 16), 90 + i).save(images / f"exp1_num_{900 * i}.jpg")
    rows = {0: 2, 3: 5}[len(classes)]
    dmix("models", "samples", model, "-n", 3, "--steps", 2, "-o", "a.png")
    dmix("models", "samples", model, "-n", 3, "--steps", 2, "--beside", tmp_path / "data", "-o", "b.png")
    alone, beside = Image.open("a.png"), Image.open("b.png")
    cell = 96 + 4
    assert alone.height // cell == rows - max(1, len(classes) - 1)
    assert beside.height // cell == rows
    assert beside.width // cell == 6


def test_real_crops_of_another_kind_are_refused(dmix, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    result = dmix("models", "samples", folder, "--beside", tmp_path / "empty", exit_code=1)
    assert "No pictures below" in result.stderr
    assert not Path("samples.png").exists()
