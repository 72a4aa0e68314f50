"""`dmix plugins new`: a package that installs and passes its own test, for every kind."""

import ast
import inspect
import os
import runpy
import subprocess
import sys

import pytest

from dmix_cli.commands.plugins.new import NEW
from dmix_cli.scaffold import WORDS, _compatible, plugin_files, write_plugin
from dmix_cli.third_party import usable_commands
from dmix_core.errors import DmixError, PluginError
from dmix_core.kinds import HOOKS
from dmix_core.registry import Registry


def test_a_new_package_installs_and_passes_its_own_test(tmp_path, pip_install):
    package = write_plugin("layer-2", tmp_path)
    site = pip_install(package, tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_there_is_a_template_for_every_kind():
    assert [*NEW] == [*WORDS]
    assert {words.noun for words in WORDS.values()} == {*HOOKS.values(), "command"}


PARTS = [kind for kind in NEW if kind != "command"]


@pytest.mark.parametrize("kind", PARTS)
def test_a_package_of_every_kind_passes_its_own_test(kind, tmp_path, linked):
    package = write_plugin(f"my-{kind}", tmp_path, kind)
    linked(package)
    (test,) = (package / "tests").iterdir()
    tests = [value for name, value in runpy.run_path(str(test)).items() if name.startswith("test_")]
    assert len(tests) == 2
    for function in tests:
        function(*(tmp_path for name in inspect.signature(function).parameters))
    (record,) = [plugin for plugin in Registry.load().plugins if plugin.distribution == f"dmix-my-{kind}"]
    assert (record.status, record.provides) == ("ok", {WORDS[kind].noun: (f"my-{kind}",)})


def test_a_package_of_a_command_passes_its_own_test(tmp_path, linked, monkeypatch):
    package = write_plugin("my-own", tmp_path, "command")
    linked(package)
    names = runpy.run_path(str(package / "tests/test_dmix_my_own.py"))
    names["test_it_prints_each_region"](tmp_path)
    names["test_its_help_is_there"]()
    assert usable_commands()["my-own"] == "dmix-my-own 0.1.0"


@pytest.mark.parametrize("kind", PARTS)
def test_a_package_is_small_and_every_part_of_it_says_what_it_is(kind):
    text = plugin_files("my-own", kind)["src/dmix_my_own/__init__.py"]
    assert len(text.splitlines()) <= 45
    assert max(map(len, text.splitlines())) <= 120
    module = ast.parse(text)
    part, *helpers = [node for node in module.body if isinstance(node, ast.ClassDef)]
    assert len(helpers) == (kind == "exporter")  # its writer
    assert all(map(ast.get_docstring, [module, part, *helpers]))
    assert part.name == f"MyOwn{WORDS[kind].noun.split()[-1].title()}"


def test_the_packages_files(tmp_path):
    package = write_plugin("rim-light", tmp_path / "new")
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert files == {
        "pyproject.toml",
        "README.md",
        "src/dmix_rim_light/__init__.py",
        "src/dmix_rim_light/py.typed",
        "tests/test_dmix_rim_light.py",
    }
    assert not any("$" in path.read_text() for path in package.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("version", "compatible"),
    [
        ("0.1.0", ">=0.1,<0.2"),
        ("1.12", ">=1.12,<1.13"),
        ("1.0rc1", ">=1.0rc1,<1.1"),
        ("2", ">=2.0,<2.1"),
        ("0.3.0.dev5+g1a2b3c", ">=0.3.0.dev5,<0.4"),
    ],
)
def test_a_package_depends_on_the_minor_version_that_made_it(version, compatible):
    assert _compatible(version) == compatible


def test_the_prefix_may_be_typed(tmp_path):
    assert write_plugin("dmix-rim-light", tmp_path) == tmp_path / "dmix-rim-light"


@pytest.mark.parametrize("name", ["", "Rim", "rim_light", "2rim", "rim--light", "rim-", "../rim", "rim light"])
def test_unusable_names_are_refused(tmp_path, name):
    with pytest.raises(PluginError, match=r"cannot name a plugin; expected lower-case.*rim-light"):
        write_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["hard-mask", "photo", "core", "compose"])
def test_taken_names_are_refused(tmp_path, name):
    with pytest.raises(PluginError, match=f"'{name}' is taken"):
        write_plugin(name, tmp_path)


def test_an_existing_package_is_left_alone(tmp_path):
    package = write_plugin("rim-light", tmp_path)
    (package / "README.md").write_text("mine")
    with pytest.raises(PluginError, match="exists already"):
        write_plugin("rim-light", tmp_path)
    assert (package / "README.md").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DmixError, match="Cannot write to the output folder"):
        write_plugin("rim-light", tmp_path / "file" / "below")
