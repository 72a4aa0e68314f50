"""Generated sets follow a preset, which says more where their backgrounds are photographs."""

import json

import pytest
from click.testing import CliRunner

from dmix_cli.main import main
from dmix_data.generated_set import entries, read_info
from dmix_factory.generate_config import GenerateConfig
from dmix_factory.generating import generate

PARTS = {"backgrounds": "normal", "objects": ["disc"], "n": 1}


def config(**stated):
    return GenerateConfig.from_data(PARTS | stated)


def completed(photographs, **stated):
    """The preset, and what it decides of a generated set beside the rules."""
    found = config(**stated).completed(photographs)
    return found.preset, found.strength, found.visible_change, found.reject


def test_photographs_ask_for_strengths_labels_that_show_and_another_draw():
    assert completed(photographs=True) == ("recommended", (0.7, 1.6), 4, True)
    assert completed(photographs=False) == ("recommended", None, 0, False)


@pytest.mark.parametrize(
    ("stated", "more"),
    [
        ({"preset": "paper"}, (None, 0, False)),
        ({"preset": "fast"}, ((0.7, 1.6), 4, True)),
        ({"recipe": "recipe.json"}, (None, 0, False)),
        ({"recipe": "recipe.json", "preset": "recommended"}, ((0.7, 1.6), 4, True)),
        ({"strength": "1"}, ((1, 1), 4, True)),
        ({"strength": None, "reject": False}, (None, 4, False)),
        ({"best_of": 3}, ((0.7, 1.6), 4, False)),
        ({"visible_change": 0}, ((0.7, 1.6), 0, True)),
    ],
)
def test_what_is_stated_wins_in_sets_too(stated, more):
    assert completed(photographs=True, **stated)[1:] == more
    found = config(**stated).completed(photographs=True)
    assert found.completed(photographs=True) == found


def test_a_set_states_the_rules_by_their_values(photographs, tmp_path, installed):
    stated = {"backgrounds": str(photographs), "objects": ["disc"], "n": 2, "steps": 10, "seed": 3}
    (tmp_path / "settings.json").write_text(json.dumps(stated))
    words = ["generate", str(tmp_path / "settings.json"), "--workers", "1", "-q"]
    for name, more in {"default": [], "named": ["--preset", "recommended"], "kept": ["--no-reject"]}.items():
        result = CliRunner().invoke(main, [*words, *more, "-o", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
    info = read_info(tmp_path / "default")
    assert (info.source["reject"], info.source["strength"]) == (True, [0.7, 1.6])
    rules = info.source["rules"]
    assert (rules["steps"], rules["listen_from"], rules["merge"]["settings"]) == (10, 0.3, {"threshold": 0.4})
    assert (rules["stepper"]["use"], info.source["visible_change"]) == ("ddim", 4)
    assert rules["timesteps"]["settings"] == {"jump_length": 2, "resamples": 1}
    assert all(0.7 <= each.strength <= 1.6 for each in entries(tmp_path / "default"))
    assert read_info(tmp_path / "named").recipe == info.recipe != read_info(tmp_path / "kept").recipe
    assert read_info(tmp_path / "kept").source["reject"] is False


def test_models_as_backgrounds_are_met_late(tmp_path, installed):
    generate(backgrounds="scene", objects=["disc"], n=1, out=tmp_path / "set")
    rules = read_info(tmp_path / "set").source["rules"]
    assert (rules["steps"], rules["listen_from"], rules["merge"]["settings"]) == (100, None, {"threshold": 0.5})
