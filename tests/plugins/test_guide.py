"""The plugin guide: every block of code in it runs, and every hook and every protocol is in it."""

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from string import Template

import pytest
from click.testing import CliRunner

from dmix_cli.main import main
from dmix_cli.scaffold import WORDS, plugin_files
from dmix_core import hookspecs, protocols
from dmix_core.hookspecs import hookimpl
from dmix_core.kinds import HOOKS
from dmix_core.registry import Registry

NAMES = {
    "merge-rule": "sheer",
    "schedule": "strides",
    "stepper": "swift",
    "denoiser": "plain",
    "wrapper": "vivid",
    "classifier": "bright",
    "exporter": "boxes",
    "backend": "thrifty",
    "layout": "shots",
    "format": "rows",
    "engine": "strands",
    "command": "regions",
}
"""What the guide calls its example of each kind."""


@pytest.fixture(scope="session")
def guide(repo):
    return (repo / "plugins/README.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def module(kind):
    """The code of the package that `dmix plugins new` writes for the example of this kind."""
    return plugin_files(NAMES[kind], kind)[f"src/dmix_{NAMES[kind]}/__init__.py"]


# ---- its code ---------------------------------------------------------------------------------------------------


def test_the_code_is_known_and_all_of_it_runs_below(guide):
    average, test, *modules, broken = blocks(guide, "python")
    assert "class Average" in average
    assert "test_it_is_a_merge_rule" in test
    assert modules == [module(kind) for kind in NAMES]
    assert "BrokenPromise" in broken
    assert {*re.findall(r"^```(\w*)$", guide, flags=re.MULTILINE)} == {"", "python", "toml", "bash", "text"}


def test_the_plugin_has_at_most_twenty_lines(guide):
    assert len(blocks(guide, "python")[0].splitlines()) <= 20


def test_the_plugin_works_and_passes_its_test(guide):
    code, test, *_ = blocks(guide, "python")
    names = {}
    exec(code, names)
    exec(test, names)
    names["test_it_is_a_merge_rule"]()
    plugin = type("Plugin", (), {"dmix_merge_rules": staticmethod(names["dmix_merge_rules"])})
    registry = Registry()
    registry.register(plugin, "guide")
    assert registry.create("merge rule", "average", {"threshold": "0.3"}).threshold == 0.3


def test_the_readme_shows_the_same_plugin(guide, repo):
    readme = (repo / "README.md").read_text(encoding="utf-8")
    assert blocks(guide, "python")[0] in blocks(readme, "python")
    assert blocks(guide, "toml")[0] in blocks(readme, "toml")


def test_the_entry_point_is_in_our_group(guide):
    (text,) = blocks(guide, "toml")
    assert tomllib.loads(text)["project"]["entry-points"] == {"dmix": {"average": "my_average"}}
    assert "`my_average.py`" in guide


def test_a_broken_promise_is_told_as_the_guide_has_it(guide, capsys):
    exec(blocks(guide, "python")[-1], {})
    assert [capsys.readouterr().out] == blocks(guide, "text")


# ---- its commands -----------------------------------------------------------------------------------------------

SETUP = {
    "python3 -m venv .venv && . .venv/bin/activate",
    "pip install dmix/packages/dmix-core dmix/packages/dmix-data dmix/packages/dmix-models dmix/packages/dmix-cli",
    "pip install build twine",
}
QUICK = ["--object", "toy@8,8,16,16", "--steps", "12", "--no-strip", "-q"]
TOY = """
from dmix_core import Spec
from dmix_core.hookspecs import hookimpl
from dmix_core.testing import GaussianDenoiser

class Toy(GaussianDenoiser):
    def with_backend(self, backend):
        return self

def toy(argument=None, *, device="cpu", dtype="float32"):
    return Toy(Spec((64, 64) if argument else (16, 16), 3, 0 if argument else 1), 0.2, 0.3)

@hookimpl
def dmix_denoisers():
    return {"toy": toy}
"""


class Shell:
    """Runs the guide's commands, here instead of in processes of their own."""

    def __init__(self, link):
        self.link = link
        self.done = []

    def __call__(self, line):
        self.done.append(line)
        *settings, command = re.match(r"(?:(\w+)=(\S*) )?(.*)", line).groups()
        words = shlex.split(command)
        match words:
            case ["cd", folder]:
                os.chdir(folder)
            case ["pip", "install", "-e", package]:
                self.link(Path(package.removesuffix("[test]")).resolve())
            case ["pytest", folder]:
                self.test(Path(folder))
            case ["python", "-m", "build"]:
                subprocess.run([sys.executable, "-m", "hatchling", "build"], check=True, capture_output=True)
            case ["twine", "check", "dist/*"]:
                assert {path.suffix for path in Path("dist").iterdir()} == {".whl", ".gz"}
            case ["dmix", *words]:
                return self.dmix(words, {settings[0]: settings[1]} if settings[0] else {})
            case _:
                raise AssertionError(f"the guide has an unknown command: {line}")

    def test(self, folder):
        (file,) = (folder / "tests").iterdir()
        tests = [value for name, value in runpy.run_path(str(file)).items() if name.startswith("test_")]
        for function in tests:
            function()
        assert len(tests) == 2

    def dmix(self, words, env):
        if words[0] == "compose":
            words += [*([] if "--background" in words else ["--background", "toy:large"]), *QUICK]
        result = CliRunner().invoke(main, words, prog_name="dmix", env=env)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output


@pytest.fixture
def shell(linked, tmp_path, monkeypatch):
    """A Shell in an empty folder, with a toy for a model."""
    monkeypatch.chdir(tmp_path)
    toy = tmp_path / "dmix-toy"
    (toy / "src").mkdir(parents=True)
    (toy / "src/dmix_toy.py").write_text(TOY)
    (toy / "pyproject.toml").write_text(
        '[project]\nname = "dmix-toy"\nversion = "1"\n[project.entry-points.dmix]\ntoy = "dmix_toy"\n'
    )
    linked(toy)
    return Shell(linked)


def commands(guide):
    """The lines of its shell blocks, and of those that are only indented."""
    text = re.sub(r"^```(?!bash).*?^```$", "", guide, flags=re.DOTALL | re.MULTILINE)
    bash = [line for block in blocks(guide, "bash") for line in block.splitlines()]
    indented = re.findall(r"^    (\S.*)$", re.sub(r"^```bash.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.M)
    return [line for line in bash if line not in SETUP], indented


def test_its_commands_lead_from_an_empty_folder_to_a_built_plugin(guide, shell):
    lines, _ = commands(guide)
    for line in lines:
        shell(line)
    assert len(shell.done) == 10
    assert shell.done[0] == "dmix plugins new sheer --kind merge-rule"
    assert list(Path("dist").glob("dmix_sheer-0.1.0*"))


def test_its_commands_for_each_kind_work(guide, shell, linked):
    _, lines = commands(guide)
    for kind, name in NAMES.items():
        shell(f"dmix plugins new {name} --kind {kind}")
        linked(Path(f"dmix-{name}").resolve())
    for line in lines:
        shell(line)
    names = zip(WORDS.values(), NAMES.values(), strict=True)
    assert lines == [Template(words.try_it).substitute(name=name) for words, name in names]


def test_the_setup_is_that_of_this_repository(guide, repo):
    packages = {f"dmix/packages/{folder.name}" for folder in (repo / "packages").iterdir() if folder.is_dir()}
    assert all(line in guide for line in SETUP)
    assert any(len(words := {*shlex.split(line)[2:]}) > 2 and words <= packages for line in SETUP)


# ---- what it is about -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_explained(guide, hook):
    (kind,) = (kind for kind, words in WORDS.items() if words.noun == HOOKS[hook])
    check = "check_" + HOOKS[hook].replace(" ", "_")
    (row,) = re.findall(rf"^\| `{hook}` \|.*$", guide, flags=re.MULTILINE)
    assert row.endswith(f"| `{kind}` | `{check}` |")
    assert f"\n### {HOOKS[hook].capitalize()}s\n" in guide


def test_every_hook_spec_has_a_kind_and_a_sentence():
    specs = {name: function for name, function in vars(hookspecs).items() if name.startswith("dmix_")}
    assert specs.keys() == HOOKS.keys()
    assert all(function.__doc__ for function in specs.values())


def public_classes():
    return [
        value
        for name, value in vars(protocols).items()
        if isinstance(value, type) and value.__module__ == protocols.__name__ and not name.startswith("_")
    ]


@pytest.mark.parametrize("protocol", public_classes(), ids=lambda protocol: protocol.__name__)
def test_every_protocol_and_record_is_in_the_guide_and_says_what_it_is(guide, protocol):
    assert f"`{protocol.__name__}`" in guide
    assert protocol.__doc__
    if "__call__" in vars(protocol):
        assert protocol.__call__.__doc__


def test_every_first_party_plugin_is_listed(guide, repo):
    folders = {file.parent.name for file in (repo / "plugins").glob("*/pyproject.toml")}
    assert {*re.findall(r"^\| \[(\S+)\]\(\1\) \|", guide, flags=re.MULTILINE)} == folders


def test_links_lead_to_files_and_headings(guide, repo):
    links = re.findall(r"\]\(([^):]+)\)", guide)
    assert [link for link in links if link[0] != "#" and not (repo / "plugins" / link).exists()] == []
    headings = {
        "#" + re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", guide, re.M)
    }
    assert {link for link in links if link[0] == "#"} <= headings


def test_the_marker_is_ours():
    assert hookimpl.project_name == "dmix"
