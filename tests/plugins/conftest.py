"""Installs plugin packages for real, each into a folder of its own, and lets a test see some of them."""

import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parent / "packages"


def pip_install(folder: Path, target: Path) -> Path:
    """Build and install a package from its folder, without fetching anything."""
    options = "--quiet --no-deps --no-index --no-build-isolation --disable-pip-version-check --target"
    command = [sys.executable, "-m", "pip", "install", *options.split(), str(target), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


def link(package: Path) -> Path:
    """Leave a package from `dmix plugins new` as an editable install does; returns the folder to import from."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = package / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, entries in groups for line in (f"[{group}]", *map(" = ".join, entries.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return info.parent


@pytest.fixture
def linked(monkeypatch):
    """linked(*packages): these folders, each called as its package, are as good as installed until the test ends."""
    modules = []

    def add(*packages: Path) -> None:
        for package in packages:
            monkeypatch.syspath_prepend(link(package))
            modules.append(package.name.replace("-", "_"))

    yield add
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture(scope="session", name="pip_install")
def pip_install_fixture():
    return pip_install


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """site(name): the folder into which the package of this name has been installed."""

    @cache
    def install(name: str) -> Path:
        return pip_install(PACKAGES / name, tmp_path_factory.mktemp(name))

    return install


@pytest.fixture
def plugged(site, monkeypatch):
    """plugged(*names): these packages can be imported and found until the test ends."""
    before = set(sys.modules)

    def plug(*names: str) -> None:
        for name in names:
            monkeypatch.syspath_prepend(site(name))

    yield plug
    for name in set(sys.modules) - before:
        if name.startswith("acme_"):
            del sys.modules[name]
