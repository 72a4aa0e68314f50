"""A plugin package to start from: it installs, works, and passes its own test."""

import re
from importlib import metadata, resources
from pathlib import Path
from string import Template
from typing import NamedTuple

from dmix_core.errors import PluginError
from dmix_core.files import writable_folder, write_atomically
from dmix_core.kinds import Kind
from dmix_core.registry import Registry

from .commands import BUILT_IN

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "src/$module/__init__.py": "$kind.py",
    "src/$module/py.typed": "",
    "tests/test_$module.py": "test.py",
}
"""The files of a package, each with the name of its template; "" for an empty file."""
LAYOUT_FILES = FILES | {"tests/test_$module.py": "layout-test.py"}
"""Those of a layout, whose check is in dmix-data and is given a small data set."""
FORMAT_FILES = FILES | {"tests/test_$module.py": "format-test.py"}
"""Those of a format, whose check is in dmix-data."""
ENGINE_FILES = FILES | {"tests/test_$module.py": "engine-test.py"}
"""Those of an engine, whose check is in dmix-factory."""
COMMAND_FILES = FILES | {
    "pyproject.toml": "command-pyproject.toml",
    "README.md": "command-README.md",
    "tests/test_$module.py": "command-test.py",
}
"""Those of a command, which has no check to pass."""


class Words(NamedTuple):
    """What the templates state of a kind."""

    noun: Kind
    subject: str
    """What its check is given."""
    try_it: str


WORDS = {
    "merge-rule": Words("merge rule", "$cls()", "dmix compose --plugin $name --set opacity=0.5"),
    "schedule": Words("timestep schedule", "$cls()", "dmix compose --plugin $name --set stride=10"),
    "stepper": Words("stepper", "$cls()", "dmix compose --plugin $name --set eta=0.5"),
    "denoiser": Words("denoiser", "$cls()", "dmix compose --background $name --set background.grey=0.3"),
    "wrapper": Words("wrapper", "$cls", "dmix compose --wrap background=$name --set $name.gain=1.5"),
    "classifier": Words("classifier", "$cls()", "dmix plugins check $name:10"),
    "exporter": Words("exporter", "$cls()", "dmix compose --plugin $name --set contrast=20"),
    "backend": Words("backend", "$cls()", "dmix compose --backend $name --set rows=2"),
    "layout": Words("layout", "$cls(), tmp_path", "dmix plugins check $name"),
    "format": Words("format", "$cls()", "dmix plugins check $name --set indent=1"),
    "engine": Words("engine", "$cls()", "dmix plugins check $name --set ahead=2"),
    "command": Words("command", "", "dmix $name dmix-out"),
}
"""By the names that `dmix plugins new --kind` takes."""

_FILES_OF = {"command": COMMAND_FILES, "layout": LAYOUT_FILES, "format": FORMAT_FILES, "engine": ENGINE_FILES}
_BESIDE = {"layout": "dmix-data", "format": "dmix-data", "engine": "dmix-factory"}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_plugin(name: str, folder: str | Path, kind: str = "merge-rule") -> Path:
    """Write a package `dmix-NAME` with a part NAME of this kind into `folder` and return its path.

    Args:
        name: lower-case letters, digits and single hyphens, a letter first; "dmix-" in front is left out.
        folder: made if it does not exist; must not hold a folder `dmix-NAME` yet.
        kind: a key of WORDS.

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
    for path, text in plugin_files(name, kind).items():
        writable_folder((package / path).parent)
        write_atomically(package / path, text.encode())
    return package


def plugin_files(name: str, kind: str) -> dict[str, str]:
    """The texts of the package's files, by their paths in it."""
    words = {"kind": kind} | _words(name, kind)
    return {
        Template(path).substitute(words): Template(_template(Template(source).substitute(words))).substitute(words)
        for path, source in _FILES_OF.get(kind, FILES).items()
    }


def _template(source: str) -> str:
    templates = resources.files(__package__) / "templates"
    return (templates / f"{source}.txt").read_text(encoding="utf-8") if source else ""


def _check_free(name: str) -> None:
    distributions = {distribution.name for distribution in metadata.distributions()}
    if name in Registry.load().names() or name in BUILT_IN or f"dmix-{name}" in distributions:
        raise PluginError(
            f"The name {name!r} is taken by something installed; `dmix plugins` shows by what. Choose another."
        )


def _words(name: str, kind: str) -> dict[str, str]:
    noun, subject, try_it = WORDS[kind]
    core = _compatible(metadata.version("dmix-core"))
    cls = "".join(map(str.capitalize, [*name.split("-"), noun.split()[-1]]))
    return {
        "name": name,
        "module": "dmix_" + name.replace("-", "_"),
        "function": name.replace("-", "_") + "_command",
        "cls": cls,
        "noun": noun,
        "A_noun": f"{'An' if noun[0] in 'aeiou' else 'A'} {noun}",
        "check": "check_" + noun.replace(" ", "_"),
        "subject": Template(subject).substitute(cls=cls),
        "try_it": Template(try_it).substitute(name=name),
        "beside": f"{_BESIDE[kind]}{core}" if kind in _BESIDE else "torch>=2.6",
        "core": core,
    }


def _compatible(version: str) -> str:
    """Releases of the same minor version; of a version before a release, such as 1.0rc1, from that on."""
    public = version.partition("+")[0]
    major, minor = map(int, re.findall(r"\d+", f"{public}.0")[:2])
    lowest = public if re.search("[a-z]", public) else f"{major}.{minor}"
    return f">={lowest},<{major}.{minor + 1}"
