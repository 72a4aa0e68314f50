"""`dmix plugins`: the list, with what is broken and why."""

from pathlib import Path

import pytest


@pytest.fixture
def broken(tmp_path_factory, monkeypatch):
    """A distribution whose module fails to import, and one that claims a taken name."""
    folder = tmp_path_factory.mktemp("broken")
    modules = {
        "fails": "import no_such_module",
        "rival": "from dmix_core import HardMask\nfrom dmix_core.hookspecs import hookimpl\n\n"
        "@hookimpl\ndef dmix_merge_rules():\n    return {'lift-mask': HardMask}\n",
    }
    for name, text in modules.items():
        (folder / f"dmix_{name}.py").write_text(text)
        info = folder / f"dmix_{name}-0.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dmix-{name}\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(f"[dmix]\n{name} = dmix_{name}\n")
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize("words", [[], ["list"]])
def test_plugins_are_listed_with_version_hooks_and_names(dmix, words):
    text = dmix("plugins", *words).stdout
    toys = text.partition("dmix-toys 1.2 (toys): ok\n")[2].splitlines()[:6]
    assert toys == [
        "  dmix_merge_rules: lift-mask",
        "  dmix_steppers: hasty",
        "  dmix_denoisers: latents, nan, nothing, scene, shaded, slow, thing",
        "  dmix_wrappers: towards",
        "  dmix_classifiers: likely",
        "  dmix_exporters: listing",
    ]
    assert "dmix_timestep_schedules: descent, tail-resampling" in text
    assert "conflict" not in text


def test_broken_plugins_and_conflicts_are_listed_with_the_reason(broken, dmix):
    text = dmix("plugins").stdout
    assert "dmix-fails 0.3 (fails): broken\n  ModuleNotFoundError: No module named 'no_such_module'" in text
    assert "conflict: 'lift-mask' is claimed by dmix-rival 0.3 and dmix-toys 1.2" in text


def test_a_conflict_hurts_only_who_uses_the_name(broken, compose):
    compose("-o", "fine")
    result = compose("--plugin", "lift-mask", exit_code=2)
    assert "'lift-mask' is claimed by dmix-rival 0.3 (merge rule) and dmix-toys 1.2 (merge rule)" in result.stderr


def test_a_missing_name_may_have_been_a_broken_plugins(broken, compose):
    result = compose("--plugin", "sharp-mask", exit_code=2)
    assert "Broken plugins: dmix-fails 0.3 (ModuleNotFoundError" in result.stderr


def test_a_new_plugin_is_a_package_with_its_own_test(dmix):
    assert 'pip install -e "sub/dmix-rim-light[test]"' in dmix("plugins", "new", "rim-light", "-o", "sub").stdout
    assert {path.name for path in Path("sub/dmix-rim-light").iterdir()} >= {"pyproject.toml", "src", "tests"}


@pytest.mark.parametrize(("name", "message"), [("Rim Light", "cannot name a plugin"), ("hard-mask", "is taken")])
def test_a_name_that_cannot_be_taken_is_wrong_use(dmix, name, message):
    assert message in dmix("plugins", "new", name, exit_code=2).stderr
