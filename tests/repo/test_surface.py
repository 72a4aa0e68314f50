"""What plugins may rely on: public names stay, and take what they took, for as long as the version promises.

    python tests/repo/test_surface.py

writes surface.json anew, for a version that may change them.
"""

import ast
import importlib
import inspect
import json
import re
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
SURFACE = Path(__file__).with_name("surface.json")
ALL = (
    *("dmix_core", "dmix_core.testing", "dmix_data", "dmix_data.testing"),
    *("dmix_factory", "dmix_factory.engines", "dmix_factory.testing", "dmix_models"),
)
"""Packages whose public names are listed in __all__."""
MODULES = {
    "dmix_core": (
        *("hookspecs", "protocols", "exporters", "backends", "errors", "testing"),
        *("mattes", "wrapper", "images", "files"),
    ),
    "dmix_data": ("formats", "layouts", "masks", "testing"),
    "dmix_factory": ("engines", "testing"),
    "dmix_models": (),
}
PUBLIC = [name for package, modules in MODULES.items() for name in (package, *(f"{package}.{m}" for m in modules))]


def version() -> str:
    """The part of dmix-core's version that may change its surface: up to the minor one before 1.0."""
    project = tomllib.loads((REPO / "packages/dmix-core/pyproject.toml").read_text(encoding="utf-8"))["project"]
    major, minor, *_ = project["version"].split(".")
    return f"0.{minor}" if major == "0" else major


def surface() -> dict[str, str]:
    """Every public name with its parameters: "*" in front of those by keyword, "=" behind those with a default."""
    found: dict[str, list[str]] = {}
    for name in PUBLIC:
        module = importlib.import_module(name)
        for key in module.__all__ if name in ALL else [key for key in vars(module) if is_own(module, key)]:
            value = getattr(module, key)
            elsewhere = getattr(value, "__module__", name) in set(PUBLIC) - {name}
            found |= {f"{name}.{key}": []} if elsewhere else described(f"{name}.{key}", value)
    return {name: ", ".join(found[name]) for name in sorted(found)}


def is_own(module: object, key: str) -> bool:
    return not key.startswith("_") and getattr(vars(module)[key], "__module__", None) == module.__name__


def described(name: str, value: object) -> dict[str, list[str]]:
    if not isinstance(value, type):
        return {name: parameters(value)} if callable(value) else {name: []}
    own = (key for key in vars(value) if key == "__call__" or not key.startswith(("_", "model_config")))  # pydantic's
    methods = {key: vars(value)[key] for key in own}
    bare = getattr(value, "_is_protocol", False) or issubclass(value, Exception)
    made = {name: [] if bare else parameters(value)}
    return made | {f"{name}.{key}": parameters(method) for key, method in methods.items()}


def parameters(value: object) -> list[str]:
    value = getattr(value, "__func__", value)
    try:
        signature = inspect.signature(value) if callable(value) else None
    except ValueError:
        return []
    kinds = {inspect.Parameter.KEYWORD_ONLY: "*{}", inspect.Parameter.VAR_KEYWORD: "**{}"}
    return [
        kinds.get(each.kind, "{}").format(each.name) + ("" if each.default is each.empty else "=")
        for each in (signature.parameters.values() if signature else ())
    ]


def is_compatible(then: list[str], now: list[str], exactly: bool) -> bool:
    """Whether every call that was right is right still; what others implement takes exactly what it took."""
    if exactly:
        return then == now
    then, now = [each for each in then if each], [each for each in now if each]
    positional = [each for each in then if not each.startswith("*")]
    by_name = {each.rstrip("="): each for each in now}
    kept = [each for each in now if not each.startswith("*")][: len(positional)]
    in_place = [each.rstrip("=") for each in kept] == [each.rstrip("=") for each in positional]
    there = all(each in now or by_name.get(each) == f"{each}=" for each in then)
    more_is_optional = all(each.endswith("=") or each in then or each.startswith("**") for each in now)
    return in_place and there and more_is_optional


@pytest.mark.parametrize(
    ("then", "now", "compatible"),
    [
        (["a", "*b="], ["a", "*b=", "*c="], True),
        (["a", "*b="], ["a=", "*b="], True),
        (["a"], ["a", "b="], True),
        (["a", "b="], ["a", "c=", "b="], False),
        (["a", "*b="], ["a", "*b"], False),
        (["a"], ["a", "b"], False),
        (["a", "b"], ["a"], False),
    ],
)
def test_what_is_compatible(then, now, compatible):
    assert is_compatible(then, now, exactly=False) is compatible
    assert is_compatible(then, now, exactly=True) is False


def test_public_names_stay_and_take_what_they_took():
    recorded, now = json.loads(SURFACE.read_text(encoding="utf-8")), surface()
    assert recorded["version"] == version(), f"a version that may change them: see {__file__}"
    names = recorded["names"]
    assert not names.keys() - now.keys()
    theirs = tuple(f"{name}." for name in names if "Protocol" in str(getattr(find(name), "__mro__", "")))
    assert "dmix_core.protocols.MergeRule." in theirs
    broken = [
        f"{name} took ({then}), takes ({now[name]})"
        for name, then in names.items()
        if not is_compatible(then.split(", "), now[name].split(", "), name.startswith(theirs) or ".dmix_" in name)
    ]
    assert not broken


def find(name: str) -> object:
    module = max((public for public in PUBLIC if name.startswith(f"{public}.")), key=len)
    value: object = importlib.import_module(module)
    for part in name.removeprefix(f"{module}.").split("."):
        value = getattr(value, part, None)
    return value


def test_the_guide_lists_the_public_modules():
    guide = (REPO / "plugins/README.md").read_text(encoding="utf-8")
    section = guide.partition("## What you may rely on\n")[2].partition("\n## ")[0]
    public, _, _ = section.partition("You may not rely")
    named = {*re.findall(r"`((?:dmix_\w+\.)?[a-z_.]+)`", public)}
    short = {name.rpartition(".")[2] for name in PUBLIC}
    assert short - {name.rpartition(".")[2] for name in named} == set()


def pinned(folder: Path) -> bool:
    """Whether a package asks for dmix-core of its own version, and so may use what no other plugin may."""
    dependencies = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    return any(each.startswith("dmix-core==") for each in dependencies)


def imported(file: Path) -> set[tuple[str, str]]:
    """(module, name) of every `from dmix_... import ...`."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in nodes if (node.module or "").startswith(tuple(MODULES)) and not node.level]
    return {(node.module, alias.name) for node in ours for alias in node.names}


EXAMPLES = [folder for folder in sorted(REPO.glob("plugins/*/src")) if not pinned(folder.parent)]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.parent.name)
def test_our_own_plugins_rely_on_what_is_public(folder):
    used = {each for file in folder.rglob("*.py") for each in imported(file)}
    assert used
    assert not [each for each in used if each[0] not in PUBLIC or each[1].startswith("_")]


if __name__ == "__main__":
    SURFACE.write_text(json.dumps({"version": version(), "names": surface()}, indent=1) + "\n", encoding="utf-8")
