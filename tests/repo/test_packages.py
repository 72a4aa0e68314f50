"""What the packages have in common: one version, pins between them, licence, README, types."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGES = sorted(file.parent for file in REPO.glob("packages/*/pyproject.toml"))
PLUGINS = sorted(file.parent for file in REPO.glob("plugins/*/pyproject.toml"))
NAMES = {"packages": [folder.name for folder in PACKAGES], "plugins": [folder.name for folder in PLUGINS]}


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def ours(folder: Path) -> list[str]:
    """The requirements on packages of this repository."""
    return [name for name in project(folder)["dependencies"] if name.startswith("dmix-")]


VERSION = project(REPO / "packages/dmix-core")["version"]


def test_the_packages_are_there():
    assert NAMES["packages"] == ["dmix-cli", "dmix-core", "dmix-data", "dmix-eval", "dmix-factory", "dmix-models"]
    assert "dmix-soft-mask" in NAMES["plugins"]


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_one_version_for_all_packages(folder):
    assert project(folder)["version"] == VERSION


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_packages_pin_each_other_exactly(folder):
    pins = {
        "dmix-core": [],
        "dmix-data": ["core"],
        "dmix-models": ["core", "data"],
        "dmix-cli": ["core", "data", "models"],
        "dmix-factory": ["cli", "core", "data"],
        "dmix-eval": ["cli", "core", "data", "models"],
    }[folder.name]
    assert sorted(ours(folder)) == [f"dmix-{name}=={VERSION}" for name in pins]


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_asks_for_a_range_that_holds_the_version(folder):
    core = next(name for name in ours(folder) if name.startswith("dmix-core"))
    if folder.name == "dmix-studio":  # an application, which uses what plugins may not
        assert {name.partition("==")[2] for name in ours(folder)} == {VERSION}
        return
    low, high = re.fullmatch(r"dmix-core>=(\d+\.\d+),<(\d+\.\d+)", core).groups()
    version = tuple(map(int, VERSION.split(".")))
    assert tuple(map(int, low.split("."))) <= version < tuple(map(int, high.split(".")))


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_no_package_depends_on_a_plugin(folder):
    assert not [package.name for package in PACKAGES if any(folder.name in name for name in ours(package))]


@pytest.mark.parametrize("folder", PACKAGES + PLUGINS, ids=lambda folder: folder.name)
def test_a_package_has_licence_readme_and_types(folder):
    assert (folder / "LICENSE").read_bytes() == (REPO / "LICENSE").read_bytes()
    assert project(folder)["license"] == "Apache-2.0"
    assert (folder / "README.md").read_text(encoding="utf-8").startswith(f"# {folder.name}\n")
    assert (folder / "src" / folder.name.replace("-", "_") / "py.typed").exists()


def test_the_root_configuration_holds_tool_settings_only():
    assert list(tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))) == ["tool"]


def test_noxfile_names_every_package():
    text = (REPO / "noxfile.py").read_text(encoding="utf-8")
    assert [folder.name for folder in PACKAGES + PLUGINS if f'/{folder.name}"' not in text] == []


HELP_WITHOUT_TORCH = """
import sys
from dmix_cli.main import main
sys.argv = ["dmix", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "numpy", "accelerate", "dmix_models"} & sys.modules.keys()
assert not heavy, heavy
"""


def text_of(name: str) -> str:
    return (REPO / name).read_text(encoding="utf-8")


def test_the_version_is_in_the_changelog_and_the_citation():
    assert f"\n## [{VERSION}]" in text_of("CHANGELOG.md")
    assert f"\nversion: {VERSION}\n" in text_of("CITATION.cff")


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_plugins_have_the_version_of_the_packages(folder):
    assert project(folder)["version"] == VERSION


def test_the_linter_before_a_commit_is_the_pinned_one():
    (pin,) = re.findall(r"^ruff==\S+", text_of("constraints.txt"), re.MULTILINE)
    assert set(re.findall(r"ruff==[^\s\]]+", text_of(".pre-commit-config.yaml"))) == {pin}


def test_help_is_answered_without_torch():
    done = subprocess.run([sys.executable, "-c", HELP_WITHOUT_TORCH], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "compose" in done.stdout


@pytest.mark.parametrize("folder", [*PACKAGES, *PLUGINS], ids=lambda folder: folder.name)
def test_torch_is_one_that_loads_weights_without_running_code(folder):
    """Before 2.6 `weights_only=True` could be exploited (CVE-2025-32434)."""
    wanted = [name for name in project(folder)["dependencies"] if re.match(r"torch\b", name)]
    lowest = [tuple(map(int, re.search(r">=(\d+)\.(\d+)", name).groups())) for name in wanted]
    assert all(version >= (2, 6) for version in lowest)


@pytest.mark.parametrize("folder", [*PACKAGES, *PLUGINS], ids=lambda folder: folder.name)
def test_pictures_are_opened_in_known_formats_alone(folder):
    """Pillow knows formats that start other programs, such as Ghostscript."""
    calls = [
        node
        for file in folder.glob("src/**/*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open")
    ]
    assert [ast.unparse(call) for call in calls if "formats" not in {key.arg for key in call.keywords}] == []
