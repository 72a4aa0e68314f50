"""`dmix models memorisation`: a model against the pictures that it was trained on."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmix_models import ModelCard, ModelConfig, UNet, UNetConfig, checkpoint

NETWORK = UNetConfig(in_channels=4, out_channels=4, model_channels=8, num_res_blocks=1, norm_groups=4)
QUICK = ("-n", 3, "--steps", 2)


def saved(folder, **changes):
    """An untrained model of 12 x 12."""
    config = ModelConfig(name="model", role="object", size=(12, 12), mask_channels=1, network=NETWORK)
    config = ModelConfig.model_validate(config.model_dump() | changes)
    torch.manual_seed(0)
    card = ModelCard(data="noise", command="none", licence="CC0-1.0")
    return checkpoint.save(folder, config, UNet(config.network).state_dict(), card)


@pytest.fixture
def pictures(save_tile):
    """Six pictures with the mask of a square, in the classes crack and hole of the magnetic tiles' layout."""
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 20), np.uint8)
        mask = np.zeros((20, 20), np.uint8)
        mask[6 : 10 + i % 3, 7:12] = 255
        root = save_tile(("MT_Crack", "MT_Hole")[i % 2], i, pixels, mask)
    return root


def test_it_tells_and_writes(dmix, pictures):
    result = dmix("models", "memorisation", saved(Path("model")), pictures, *QUICK, "-o", "out")
    assert "3 samples, 6 training crops in 6 groups" in result.stdout
    assert "distance to the nearest crop, median" in result.stdout
    assert "No sign of copying: 0 of 3 samples" in result.stdout
    (found,) = json.loads(Path("out/memorisation.json").read_text())["classes"]
    assert (found["groups"], len(found["distances"])) == (6, 3)
    assert Image.open("out/memorisation.png").mode == "RGB"


def test_quiet_says_the_verdict_alone(dmix, pictures):
    result = dmix("models", "memorisation", saved(Path("model")), pictures, *QUICK, "-q")
    assert result.stdout.startswith("No sign of copying")
    assert result.stdout.count("\n") == 1
    assert sorted(path.name for path in Path("model").iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_json_holds_what_is_written_beside_a_training(dmix, pictures):
    model = saved(Path("model"))
    (model / "training").mkdir()
    printed = json.loads(dmix("models", "memorisation", model, pictures, *QUICK, "--json").stdout)
    names = ("memorisation.json", "memorisation.png", "report.html")
    assert printed["files"] == [f"model/training/{name}" for name in names]
    assert "No sign of copying" in Path(printed["files"][2]).read_text()
    assert printed["classes"] == json.loads(Path(printed["files"][0]).read_text())["classes"]


def test_a_background_is_held_against_windows(dmix, pictures):
    network = NETWORK.model_copy(update={"in_channels": 3, "out_channels": 3})
    model = saved(Path("model"), role="background", mask_channels=0, network=network.model_dump())
    for mask in pictures.rglob("*.png"):
        mask.unlink()
    result = dmix("models", "memorisation", model, pictures / "MT_Crack/Imgs", *QUICK)
    assert "3 samples, 3 training crops in 3 groups" in result.stdout


def test_each_class_has_figures_and_pairs_of_its_own(dmix, pictures):
    network = NETWORK.model_copy(update={"num_classes": 3})
    model = saved(Path("model"), classes=("crack", "hole", "any"), network=network.model_dump())
    result = dmix("models", "memorisation", model, pictures, *QUICK, "-o", "out")
    for line in ("crack: 3 samples, 3 training crops", "hole: 3 samples, 3 training", "any: 3 samples, 6 training"):
        assert line in result.stdout
    assert {"memorisation-crack.png", "memorisation-any.png"} < {path.name for path in Path("out").iterdir()}


def test_data_that_do_not_do_are_refused(dmix, pictures):
    model, few = saved(Path("model")), pictures / "MT_Crack"
    for file in few.rglob("*num_0*"):
        file.unlink()
    result = dmix("models", "memorisation", model, few, *QUICK, exit_code=1)
    assert "are from 2 pictures or groups of pictures" in result.stderr
    assert "No model 'nowhere'" in dmix("models", "memorisation", "nowhere", few, exit_code=2).stderr
    result = dmix("models", "memorisation", model, few, "--layout", "mvtek", exit_code=2)
    assert "Did you mean 'mvtec'?" in result.stderr
