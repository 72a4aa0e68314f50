"""A plugin package to start from: it installs, works, and passes its own test."""

import re
from importlib import metadata
from pathlib import Path
from string import Template

from dmix_core.errors import PluginError
from dmix_core.files import writable_folder, write_atomically
from dmix_core.registry import Registry

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_plugin(name: str, folder: str | Path) -> Path:
    """Write a package `dmix-NAME` with a merge rule NAME into `folder` and return its path.

    Args:
        name: lower-case letters, digits and single hyphens, a letter first; "dmix-" in front is left out.
        folder: made if it does not exist; must not hold a folder `dmix-NAME` yet.

    Raises:
        PluginError: an unusable name or one that is taken, or the package's folder exists.
        DmixError: the folder cannot be written to.
    """
    name = name.removeprefix("dmix-")
    if not _NAME.fullmatch(name):
        raise PluginError(
            f"{name!r} cannot name a plugin; expected lower-case letters, digits and single hyphens, "
            "a letter first, such as 'rim-light'."
        )
    _check_free(name)
    package = Path(folder) / f"dmix-{name}"
    if package.exists():
        raise PluginError(f"{str(package)!r} exists already; choose another name or another folder.")
    words = _words(name)
    for path, text in _FILES.items():
        target = package / Template(path).substitute(words)
        writable_folder(target.parent)
        write_atomically(target, Template(text).substitute(words).encode())
    return package


def _check_free(name: str) -> None:
    distributions = {distribution.name for distribution in metadata.distributions()}
    if name in Registry.load().names() or f"dmix-{name}" in distributions:
        raise PluginError(
            f"The name {name!r} is taken by something installed; `dmix plugins` shows by what. Choose another."
        )


def _words(name: str) -> dict[str, str]:
    return {
        "name": name,
        "module": "dmix_" + name.replace("-", "_"),
        "rule": "".join(map(str.capitalize, name.split("-"))) + "Rule",
        "core": _compatible(metadata.version("dmix-core")),
    }


def _compatible(version: str) -> str:
    """Releases of the same minor version; of a version before a release, such as 1.0rc1, from that on."""
    public = version.partition("+")[0]
    major, minor = map(int, re.findall(r"\d+", f"{public}.0")[:2])
    lowest = public if re.search("[a-z]", public) else f"{major}.{minor}"
    return f">={lowest},<{major}.{minor + 1}"


_FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "dmix-$name"
version = "0.1.0"
description = "A merge rule for dmix"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["dmix-core$core", "torch>=2.4"]

[project.optional-dependencies]
test = ["dmix-core[testing]", "pytest"]

[project.entry-points.dmix]
$name = "$module"
""",
    "README.md": """\
# dmix-$name

A merge rule for dmix.

    pip install -e ".[test]"
    pytest
    dmix plugins
    dmix compose --plugin $name --set opacity=0.5

The rule is in `src/$module/__init__.py`: the fields of the class are its settings, the call merges, the hook
gives it a name. `check_merge_rule` in the test holds what dmix builds on. Hooks for timestep schedules, denoisers and
exporters are described in `dmix_core.hookspecs`.

Before you publish: choose a licence, name it in `pyproject.toml` and add its text as `LICENSE`.
""",
    "src/$module/__init__.py": '''\
"""A merge rule for dmix."""

from collections.abc import Sequence
from dataclasses import dataclass

from dmix_core import Layer, Merged
from dmix_core.hookspecs import hookimpl
from dmix_core.mattes import blend, stack


@dataclass(frozen=True)
class $rule:
    """Each region's predicted mask, made more transparent, is its alpha."""

    opacity: float = 0.8

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"opacity is {self.opacity}; expected 0..1")

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        """Layers come from bottom to top: images in [-1, 1], mattes in [0, 1]; progress ends at 1."""
        return blend(layers, stack([layer.matte * self.opacity for layer in layers]))


@hookimpl
def dmix_merge_rules() -> dict[str, type[$rule]]:
    return {"$name": $rule}
''',
    "src/$module/py.typed": "",
    "tests/test_$module.py": """\
from dmix_core.registry import Registry
from dmix_core.testing import check_merge_rule
from $module import $rule


def test_it_keeps_the_promises_of_a_merge_rule():
    check_merge_rule($rule())


def test_dmix_finds_it_by_name():
    assert Registry.load().create("merge rule", "$name", {"opacity": "0.5"}) == $rule(opacity=0.5)
""",
}
