"""Notes before a training: given where they help, and nowhere else."""

import pytest
from PIL import Image

from dmix_models.trainer import TrainConfig
from dmix_models.training_notices import training_notices
from dmix_models.training_setup import background_setup, object_setup


@pytest.fixture
def pictures(tmp_path):
    """Two pictures, each with the mask of a square."""
    for name in "ab":
        Image.new("RGB", (80, 80), (90, 90, 90)).save(tmp_path / f"{name}.jpg")
        mask = Image.new("L", (80, 80))
        mask.paste(255, (30, 30, 44, 44))
        mask.save(tmp_path / f"{name}.png")
    return tmp_path


def noted(pictures, setup=object_setup, **settings):
    return training_notices(setup(pictures, pictures / "model", TrainConfig(steps=400, **settings)))


@pytest.mark.parametrize(
    "settings", [{}, {"learning_rate": 1e-3}, {"warmup": 50}, {"learning_rate": 5e-4, "warmup": 0}]
)
def test_an_object_begun_from_a_model_without_a_mask_is_advised(pictures, settings):
    (notice,) = noted(pictures, init="tiles", **settings)
    assert "`learning_rate` 0.001 `warmup` 50" in notice
    assert "`init` defects, which has one" in notice
    assert "8.1, 0.8 and 0.1 specks" in notice
    assert "\n" not in notice


def test_only_models_that_there_are_are_advised(pictures, monkeypatch):
    monkeypatch.setattr("dmix_models.training_notices.bundled", lambda: ["tiles"])
    (notice,) = noted(pictures, init="tiles")
    assert "or begin" not in notice
    assert "8.1 and 0.8 specks" in notice


@pytest.mark.parametrize(
    ("settings", "setup"),
    [
        ({"init": "tiles", "learning_rate": 1e-3, "warmup": 50}, object_setup),
        ({"init": "tiles", "learning_rate": 2e-3, "warmup": 0}, object_setup),
        ({"init": "defects"}, object_setup),
        ({}, object_setup),
        ({"init": "tiles"}, background_setup),
    ],
)
def test_whoever_knows_or_needs_no_advice_gets_none(pictures, settings, setup):
    assert noted(pictures, setup, **settings) == []
