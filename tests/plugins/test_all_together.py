"""Every first-party plugin beside strangers: some that work, one that is broken, one that claims a taken name."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from dmix_cli.main import main
from dmix_core.registry import Registry

PROJECTS = Path(__file__).parents[2].glob("plugins/*/pyproject.toml")
OURS = sorted(file.parent.name for file in PROJECTS if "[project.entry-points.dmix]" in file.read_text())  # with hooks
STRANGERS = ["acme-mix", "acme-absent", "acme-typo", "acme-taken"]


@pytest.fixture
def dmix(plugged, tmp_path, monkeypatch):
    """Run a command in an empty folder, where all of them are installed."""
    plugged(*STRANGERS)
    monkeypatch.chdir(tmp_path)

    def run(*words, exit_code=0):
        result = CliRunner().invoke(main, [str(word) for word in words], prog_name="dmix")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result.output

    return run


@pytest.fixture
def compose(dmix):
    """Compose two greys, in few steps."""
    greys = ("--background", "flat", "--object", "flat:0.5@0,0,8,4", "--steps", 12)
    return lambda *words, **more: dmix("compose", *greys, "-q", *words, **more)


def entries(text):
    """What `dmix plugins` lists of each entry point: distribution and name, status, and names by hook."""
    found = {}
    for head, body in re.findall(r"^(\S+ \S+ \(\S+\): \w+)\n((?:  .*\n)*)", text, flags=re.MULTILINE):
        distribution, _, name, status = re.fullmatch(r"(\S+) (\S+) \((\S+)\): (\w+)", head).groups()
        found[distribution, name] = status, dict(re.findall(r"^  (dmix_\w+): (.*)$", body, flags=re.MULTILINE))
    return found


def test_every_first_party_plugin_is_loaded_and_claims_names_of_its_own():
    registry = Registry.load()
    status = {plugin.distribution: plugin.status for plugin in registry.plugins}
    assert {name: status.get(name, "not installed") for name in OURS} == dict.fromkeys(OURS, "ok")
    assert not registry.conflicts
    assert all(plugin.provides for plugin in registry.plugins)


def test_the_list_has_every_entry_point_as_it_is(dmix):
    listed = entries(dmix("plugins"))
    installed = {(entry.dist.name, entry.name) for entry in metadata.entry_points(group="dmix")}
    assert listed.keys() == installed >= {(name, name.removeprefix("acme-")) for name in STRANGERS[1:]}
    broken = {distribution for (distribution, _), (status, _) in listed.items() if status != "ok"}
    assert broken == {"acme-absent", "acme-typo"}
    assert listed["acme-mix", "acme"][1]["dmix_wrappers"] == "lean"
    assert listed["dmix-soft-mask", "soft-mask"] == ("ok", {"dmix_merge_rules": "soft-mask"})


def test_compose_works_beside_the_broken(compose):
    compose("--plugin", "average", "--plugin", "descent", "-o", "fine")
    recipe = json.loads(Path("fine/recipe.json").read_text())
    assert recipe["merge"]["use"] == "average"
    assert {"acme-mix", "acme-taken", *OURS} <= recipe["made_with"].keys()
    assert "acme-absent" not in recipe["made_with"]


def test_a_claim_to_a_name_of_dmix_itself_is_refused_with_a_warning(compose, monkeypatch):
    assert "Warning: 'hard-mask' is the one of dmix itself: acme-taken 0.5.0 claims that name" in compose("-o", "fine")
    assert json.loads(Path("fine/recipe.json").read_text())["merge"]["use"] == "hard-mask"
    monkeypatch.setenv("DMIX_PLUGINS", "acme, dmix-soft-mask")
    assert "Warning" not in compose("-o", "again")
    compose("--plugin", "soft-mask", "-o", "soft")


def test_the_allow_list_is_told(dmix, monkeypatch):
    monkeypatch.setenv("DMIX_PLUGINS", "acme, dmix-soft-mask")
    listed = {distribution: status for (distribution, _), (status, _) in entries(dmix("plugins")).items()}
    on = {"acme-mix", "dmix-soft-mask", "dmix-core", "dmix-data", "dmix-factory", "dmix-models"}
    assert {distribution for distribution, status in listed.items() if status == "ok"} == on
    assert {status for distribution, status in listed.items() if distribution not in on} == {"off"}


HELP = """
import sys
from dmix_cli.main import main
sys.argv = ["dmix", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
"""
HEAVY = {"torch", "numpy", "PIL", "pydantic", "pluggy", "diffusers", "transformers", "accelerate", "dmix_core"}


def test_help_is_answered_without_anything_heavy_and_without_a_plugin(site, repo):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(str(site(name)) for name in STRANGERS)}
    done = subprocess.run([sys.executable, "-c", HELP], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    loaded = set(re.findall(r"'(\w+)'", done.stderr))
    assert "click" in loaded
    assert not loaded & (HEAVY - {"dmix_core"})
    # dmix_core, which imports nothing by itself, knows which commands of other packages may be listed
    assert {name for name in loaded if name.startswith(("dmix_", "acme_"))} <= {"dmix_cli", "dmix_core"}


LOADED = """
import json, sys
from dmix_core.registry import Registry
before = set(sys.modules)
registry = Registry.load()
print(json.dumps(sorted(name for name in set(sys.modules) - before if "." not in name)))
"""


def test_loading_every_plugin_brings_no_heavy_library_along():
    """A library of the size of torch is imported where something is made with it, not where it is named."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(json.loads(done.stdout))
    assert {name.replace("-", "_") for name in OURS} <= loaded
    assert not loaded & {"diffusers", "transformers", "accelerate", "scipy", "hypothesis"}


def test_a_plugins_folder_is_called_as_the_package_that_it_holds(repo):
    for name in OURS:
        project = tomllib.loads((repo / "plugins" / name / "pyproject.toml").read_text())["project"]
        assert project["name"] == name
        assert all(module.startswith("dmix_") for module in project["entry-points"]["dmix"].values())
