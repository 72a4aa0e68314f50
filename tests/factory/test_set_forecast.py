"""What a set will cost, told beforehand: the calls are those that are made."""

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from dmix_cli.main import main
from dmix_core.testing import GaussianDenoiser
from dmix_data.generated_set import entries
from dmix_factory import generate
from dmix_factory.generate_config import GenerateConfig
from dmix_factory.set_forecast import forecast

FAST = {"steps": 20, "timesteps": {"jump_length": 1, "resamples": 1}}


@pytest.fixture
def settings(installed, photographs):
    return {"backgrounds": str(photographs), "objects": ["disc"], "n": 6, **FAST}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"per_image": "2", "best_of": 2},
        {"backgrounds": "scene", "twins": True},
        {"backgrounds": "scene", "share": "2x3", "n": 13, "strength": "0.5-1"},
        {"share": "2x3", "n": 12, "best_of": 3},
    ],
)
def test_the_calls_are_those_that_are_made(settings, changes, tmp_path, monkeypatch):
    config = GenerateConfig.from_data(settings | changes)
    found = forecast(config)
    calls = Counter()
    predict = GaussianDenoiser.__call__

    def counted(self, x, t):
        calls["regions"] += len(x)
        return predict(self, x, t)

    monkeypatch.setattr(GaussianDenoiser, "__call__", counted)
    generate(config, out=tmp_path / "set")
    assert found.calls == calls["regions"] > 0
    made = [entry for entry in entries(tmp_path / "set") if entry.kind == "composite"]
    assert found.composites == len(made)
    assert found.splits == Counter(entry.split for entry in made)
    assert found.backgrounds == Counter(entry.background for entry in made)
    assert found.classes["disc"] == sum(len(entry.objects) for entry in made)
    assert found.groups == len({entry.group for entry in made})
    assert found.seconds > 0


def test_a_dry_run_writes_nothing_and_prints_what_is_planned(settings, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps(settings | {"n": 50, "val": 0.2, "reject": True}))
    words = ["generate", str(tmp_path / "settings.json"), "-o", str(tmp_path / "set"), "--dry-run", "--workers", "2"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "set").exists()
    assert "nothing was written" in result.stdout
    for line in (
        "50 in 5 groups (40 train, 10 val); 50 samples",
        "objects        disc: 50",
        "network calls  1,050, and those of samples that are drawn again",
        "with --workers 2, by one sample",
    ):
        assert line in result.stdout
    as_json = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert (as_json["composites"], as_json["calls"], as_json["workers"]) == (50, 1050, 2)
