"""Who may import whom: core <- data <- models <- cli <- eval, factory; plugins the first three or all; nobody one."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
FOLDERS = sorted(
    file.parent for file in [*REPO.glob("packages/*/pyproject.toml"), *REPO.glob("plugins/*/pyproject.toml")]
)
OURS = {folder.name.replace("-", "_"): folder for folder in FOLDERS}
MAY_IMPORT = {
    "dmix_core": set(),
    "dmix_data": {"dmix_core"},
    "dmix_models": {"dmix_core", "dmix_data"},
    "dmix_cli": {"dmix_core", "dmix_data", "dmix_models"},
    "dmix_factory": {"dmix_cli", "dmix_core", "dmix_data"},
    "dmix_eval": {"dmix_cli", "dmix_core", "dmix_data", "dmix_models"},
    "dmix_studio": {"dmix_cli", "dmix_core", "dmix_data", "dmix_factory", "dmix_models"},
}
PLUGIN_MAY_IMPORT = {"dmix_core", "dmix_data", "dmix_factory", "dmix_models"}
IMPORTED_AS = {"c2pa-python": "c2pa", "pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn"}
"""Where a distribution's module is not called after it."""


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """Every module of a package as (dotted name, file)."""
    source = OURS[package] / "src"
    for file in sorted((source / package).rglob("*.py")):
        parts = file.relative_to(source).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def absolute(node: ast.ImportFrom, name: str, file: Path) -> str:
    """The dotted name of the module that a `from` statement names, seen from module `name`."""
    if not node.level:
        return node.module or ""
    parents = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


@cache
def imports(name: str, file: Path) -> frozenset[str]:
    """Every module that a module imports anywhere: at its top, inside functions, for type checkers only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, name, file)
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def imported_by(package: str) -> dict[str, set[str]]:
    """Top-level module outside `package` -> the modules of `package` that import it."""
    importers: dict[str, set[str]] = {}
    for name, file in modules(package):
        for top in {found.partition(".")[0] for found in imports(name, file)} - {package}:
            importers.setdefault(top, set()).add(name)
    return importers


def import_names(requirements: list[str]) -> set[str]:
    names = [re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower() for requirement in requirements]
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


def project(package: str) -> dict:
    return tomllib.loads((OURS[package] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def third_party(package: str) -> dict[str, set[str]]:
    importers = imported_by(package)
    return {top: importers[top] for top in importers if top not in sys.stdlib_module_names}


def reachable(start: str) -> set[str]:
    """The modules of dmix_core that `start` imports, directly or through others."""
    files = dict(modules("dmix_core"))
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in files and name not in seen:
            seen.add(name)
            waiting.extend(imports(name, files[name]) - {"dmix_core"})
    return seen


def statements(node: ast.AST, anywhere: bool) -> Iterator[ast.stmt]:
    """The statements of a module that run when it is imported, or all of them, those for type checkers included."""
    for child in ast.iter_child_nodes(node):
        of_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        later = of_types or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if later and not anywhere:
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from statements(child, anywhere)


def graph(package: str, anywhere: bool) -> dict[str, set[str]]:
    """Which modules of a package import which others of it; a module's own package, which runs first, is left out."""
    files = dict(modules(package))
    edges: dict[str, set[str]] = {}
    for name, file in files.items():
        named: set[str] = set()
        for node in statements(ast.parse(file.read_text(encoding="utf-8")), anywhere):
            if isinstance(node, ast.Import):
                named.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = absolute(node, name, file)
                inside = {f"{module}.{alias.name}" for alias in node.names} & files.keys()
                named |= inside or {module}
        edges[name] = {found for found in named & files.keys() if not f"{name}.".startswith(f"{found}.")}
    return edges


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, in order; none if there is no circle."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("package", OURS)
def test_no_modules_import_each_other_in_a_circle(package):
    assert circle(graph(package, anywhere=False)) == []


@pytest.mark.parametrize("package", OURS)
def test_no_modules_import_each_other_in_a_circle_inside_functions_either(package):
    assert circle(graph(package, anywhere=True)) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert {*circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})} == {"a", "b", "c"}


@pytest.mark.parametrize("package", OURS)
def test_a_package_imports_only_the_packages_below_it(package):
    allowed = MAY_IMPORT.get(package, PLUGIN_MAY_IMPORT)
    strays = {top: names for top, names in imported_by(package).items() if top in OURS.keys() - allowed}
    assert not strays


def test_the_composer_knows_neither_registry_nor_recipe():
    core = {name.removeprefix("dmix_core.") for name in reachable("dmix_core.composer")}
    assert "protocols" in core
    assert not core & {"registry", "recipe", "hookspecs", "builtins"}


@pytest.mark.parametrize("package", OURS)
def test_every_import_is_declared(package):
    declared = import_names(project(package)["dependencies"])
    undeclared = {top: names for top, names in third_party(package).items() if top not in declared}
    for extra, names in project(package).get("optional-dependencies", {}).items():
        for top in import_names(names):  # it is for `testing` modules and the module of its name alone
            modules_of_it = (f"{package}.testing", f"{package}.{extra}")
            undeclared[top] = {name for name in undeclared.get(top, ()) if not name.startswith(modules_of_it)}
    assert not {top: names for top, names in undeclared.items() if names}


@pytest.mark.parametrize("package", OURS)
def test_every_declared_dependency_is_imported(package):
    extras = [name for names in project(package).get("optional-dependencies", {}).values() for name in names]
    declared = import_names([*project(package)["dependencies"], *extras])
    assert not declared - third_party(package).keys()


def test_what_benchmarks_import_from_each_other_is_there():
    """No test runs them, so that a renamed function would be missed by whoever wants to measure again."""
    trees = {file.stem: ast.parse(file.read_text(encoding="utf-8")) for file in REPO.glob("benchmarks/**/*.py")}
    wanted = {
        (node.module, alias.name)
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in trees
        for alias in node.names
    }
    assert wanted
    assert not {(module, name) for module, name in wanted if name not in top_level(trees[module])}


def top_level(tree):
    """The names that a module defines by itself."""
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    return defined | {each.id for node in assigned for each in ast.walk(node) if isinstance(each, ast.Name)}
