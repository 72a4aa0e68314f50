"""Packages of strangers, installed from their folders: one that works, three that do not."""

import json
import os
import subprocess
import sys

import pytest
import torch

from dmix_core import BoxRegion, Composer, HardMask, Run, Spec
from dmix_core.errors import PluginError, PluginWarning
from dmix_core.recipe import Recipe
from dmix_core.registry import Registry
from dmix_core.testing import (
    GaussianDenoiser,
    check_denoiser,
    check_merge_rule,
    check_timestep_schedule,
)

EVERY = ["acme-mix", "acme-absent", "acme-typo", "acme-taken"]
RECIPE = {
    "regions": [
        {"name": "below", "model": "flat:-0.5"},
        {
            "name": "above",
            "model": "flat:0.7",
            "settings": {"shift": 0.1},
            "wrap": [{"use": "lean", "settings": {"other": "flat:0.2"}}],
            "box": [0, 0, 8, 4],
            "z": 1,
        },
    ],
    "steps": 4,
    "timesteps": {"use": "yoyo"},
    "stepper": {"use": "sure"},
    "merge": {"use": "average", "settings": {"threshold": 0.3}},
    "seed": 7,
}


@pytest.fixture
def load(plugged):
    """load(*names): the registry with these packages installed."""

    def load(*names):
        plugged(*names)
        return Registry.load()

    return load


def record(registry, distribution):
    (found,) = [plugin for plugin in registry.plugins if plugin.distribution == distribution]
    return found


# ---- one that works -------------------------------------------------------------------------------------------


def test_a_package_is_a_plugin_by_being_installed(load):
    found = record(load("acme-mix"), "acme-mix")
    assert (found.name, found.version, found.status, found.error) == ("acme", "1.2.0", "ok", None)
    assert found.provides == {
        "merge rule": ("average",),
        "timestep schedule": ("yoyo",),
        "stepper": ("sure",),
        "denoiser": ("flat",),
        "wrapper": ("lean",),
        "classifier": ("bright",),
        "exporter": ("means",),
    }


def test_without_the_package_its_names_are_unknown():
    with pytest.raises(PluginError, match="No merge rule 'average'"):
        Registry.load().create("merge rule", "average")


def test_what_it_brings_keeps_its_promises(load):
    registry = load("acme-mix")
    check_merge_rule(registry.create("merge rule", "average", {"threshold": "0.2"}), examples=20)
    check_timestep_schedule(registry.create("timestep schedule", "yoyo"), examples=20)
    check_denoiser(registry.denoiser("flat:0.25", settings={"shift": "0.5"}), examples=2)


def test_a_recipe_composes_with_it(load, tmp_path):
    registry = load("acme-mix")
    exporters = [{"use": "means", "settings": {"precision": "1"}}]
    run = Run(Recipe.from_data(RECIPE | {"samples": [0, 1], "exporters": exporters}), registry)
    rows = next(iter(run)).image.mean(dim=(0, 2))
    assert torch.allclose(rows, torch.tensor([0.0] * 4 + [-0.5] * 4), atol=1e-6)
    path = run.save(tmp_path) / "means/means.json"
    assert json.loads(path.read_text()) == {"means": [-0.2, -0.2], "seed": 7}


def test_its_settings_are_checked(load):
    registry = load("acme-mix")
    with pytest.raises(PluginError, match=r"acme-mix 1\.2\.0: it has no setting 'treshold'.*'threshold'\?"):
        registry.create("merge rule", "average", {"treshold": 1})
    with pytest.raises(PluginError, match=r"acme-mix 1\.2\.0: could not convert string to float: 'grey'"):
        registry.denoiser("flat:grey")


# ---- three that do not ----------------------------------------------------------------------------------------


def test_an_import_that_fails_hurts_nobody_else(load):
    registry = load("acme-absent", "acme-mix")
    assert record(registry, "acme-absent").status == "broken"
    assert "ModuleNotFoundError: No module named 'acme_library_" in record(registry, "acme-absent").error
    assert registry.create("merge rule", "hard-mask") == HardMask()
    assert registry.kind_of("average") == "merge rule"


def test_a_missing_name_is_explained_by_the_broken_plugin(load):
    with pytest.raises(PluginError, match=r"No merge rule 'absent'.*Broken plugins: acme-absent 0\.3\.0 \(Mod"):
        load("acme-absent").create("merge rule", "absent")


def test_an_unknown_hook_breaks_the_plugin_as_a_whole(load):
    registry = load("acme-typo")
    error = record(registry, "acme-typo").error
    assert error.startswith("unknown hook 'dmix_merge_rule'. Did you mean 'dmix_merge_rules'?")
    assert not {"strict", "lenient"} & {*registry.names()}


def test_a_name_of_dmix_itself_is_refused_to_a_plugin(load):
    registry = load("acme-taken")
    with pytest.warns(PluginWarning, match=r"'hard-mask' is the one of dmix itself: acme-taken 0\.5\.0 claims"):
        assert registry.create("merge rule", "hard-mask") == HardMask()
    assert registry.refused == {"hard-mask": ("acme-taken 0.5.0",)}
    assert record(registry, "acme-taken").provides == {"merge rule": ("harder-mask",)}
    assert not registry.conflicts


def test_a_taken_name_costs_only_that_name(load):
    registry = load("acme-taken")
    assert registry.create("merge rule", "harder-mask") == HardMask()
    assert registry.kind_of("descent") == "timestep schedule"
    model = GaussianDenoiser(Spec((4, 4), 1))
    assert Composer([BoxRegion(model)], steps=12).compose().image.shape == (1, 1, 4, 4)


# ---- the allow-list -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", ["acme-mix", "ACME_Mix", "acme", "something, acme"])
def test_the_allow_list_takes_distributions_and_entry_points(load, monkeypatch, listed):
    monkeypatch.setenv("DMIX_PLUGINS", listed)
    registry = load(*EVERY)
    status = {plugin.distribution: plugin.status for plugin in registry.plugins}
    assert status["acme-mix"] == status["dmix-core"] == "ok"
    assert status["acme-taken"] == status["acme-absent"] == "off"
    assert registry.create("merge rule", "hard-mask") == HardMask()


def test_a_name_that_was_left_out_is_explained(load, monkeypatch):
    monkeypatch.setenv("DMIX_PLUGINS", "")
    with pytest.raises(PluginError, match=r"Left out by DMIX_PLUGINS: .*acme-mix 1\.2\.0"):
        load("acme-mix").create("merge rule", "average")


def test_what_is_left_out_is_not_imported(load, monkeypatch):
    monkeypatch.setenv("DMIX_PLUGINS", "")
    assert record(load("acme-mix"), "acme-mix").status == "off"
    assert "acme_mix" not in sys.modules


# ---- the command line -----------------------------------------------------------------------------------------


def test_a_new_process_lists_them_all_with_their_faults(site):
    code = "import sys; from dmix_cli.main import main; sys.argv = ['dmix', 'plugins']; main()"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(str(site(name)) for name in EVERY)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for line in [
        "acme-mix 1.2.0 (acme): ok",
        "dmix_exporters: means",
        "acme-absent 0.3.0 (absent): broken",
        "acme-typo 0.4.0 (typo): broken",
        "unknown hook 'dmix_merge_rule'",
        "refused: 'hard-mask' is claimed by acme-taken 0.5.0, but is a name of dmix itself",
    ]:
        assert line in done.stdout
