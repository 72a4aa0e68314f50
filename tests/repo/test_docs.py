"""The documentation's commands, code and links, and what may stand in no tracked file."""

import re
import runpy
import subprocess
from functools import reduce
from importlib import import_module, metadata
from pathlib import Path

import pytest

from dmix_core import Composer, TailResampling

REPO = Path(__file__).resolve().parents[2]
READMES = sorted([REPO / "README.md", *REPO.glob("packages/*/README.md"), *REPO.glob("plugins/*/README.md")])
PAGES = sorted([*REPO.glob("*.md"), *READMES[1:], REPO / "plugins/README.md", *REPO.glob("docs/**/*.md")])
MACHINE_PATHS = [f"/{root}/" for root in ("work", "farm", "opt")]  # built here, or this file would be found too


def blocks(file: Path, language: str) -> list[str]:
    """The fenced code blocks of one language in a Markdown file."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(ending: str) -> list[str]:
    lines = [line for block in blocks(REPO / "README.md", "(?:bash|sh|console)") for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.endswith(ending)]


@pytest.mark.parametrize("session", ["demo", "tests"])
def test_the_readme_has_one_command_that_does_all_the_setup(session):
    (command,) = commands(f"nox -s {session}")
    assert command.startswith("python3 -m venv .venv && ")


def test_ci_runs_the_readmes_test_command():
    (command,) = commands("nox -s tests")
    assert command in (REPO / ".ci/run").read_text(encoding="utf-8")


def test_the_readme_shows_python():
    assert blocks(REPO / "README.md", "python")


PYTHON = [code for page in PAGES if page.relative_to(REPO).parts[0] != "plugins" for code in blocks(page, "python")]


@pytest.fixture
def few_steps(monkeypatch):
    """Whether an example runs is seen after a few steps, too; all of them would take minutes of networks."""
    whole = Composer.__init__

    def short(self, regions, *, steps=250, timesteps=None, **rules):
        if timesteps is None or isinstance(timesteps, TailResampling):
            steps, timesteps = min(steps, 6), TailResampling(1, 1)
        whole(self, regions, steps=steps, timesteps=timesteps, **rules)

    monkeypatch.setattr(Composer, "__init__", short)


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.splitlines()[0])
@pytest.mark.usefixtures("few_steps")
def test_the_python_of_pages_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "a page's example", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda file: str(file.relative_to(REPO)))
def test_links_lead_to_files(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", text) + re.findall(r'(?:src|href)="([^"#]+)', text)
    local = [target for target in targets if not re.match(r"\w+:", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as the site has them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda file: str(file.relative_to(REPO)))
def test_links_into_pages_lead_to_their_headings(page):
    links = re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    pages = [(page.parent / path if path else page, anchor) for path, anchor in links]
    assert [f"{at.name}#{anchor}" for at, anchor in pages if at.suffix == ".md" and anchor not in anchors(at)] == []


def test_the_page_of_messages_is_what_the_commands_print():
    plugins = {path.name for path in REPO.glob("plugins/dmix-*")}
    if not plugins <= {distribution.name for distribution in metadata.distributions()}:
        pytest.skip("the page names all plugins of this repository, and they are not installed")
    shown = (REPO / "docs/messages.md").read_text(encoding="utf-8")
    written = runpy.run_path(str(REPO / "docs/tools/messages.py"))["page"]()
    assert shown == written, "run python docs/tools/messages.py"


def shown_lines() -> list[tuple[str, str]]:
    """(file, dotted name) of the functions whose lines stand beside the paper's equations."""
    text = (REPO / "docs/equations.md").read_text(encoding="utf-8")
    return [(file, name) for name, file in re.findall(r"^\[`([\w.]+)`\]\(\.\./(\S+\.py)\)$", text, re.MULTILINE)]


@pytest.mark.parametrize(("file", "name"), shown_lines())
def test_the_lines_that_hold_an_equation_exist(file, name):
    module = import_module(Path(file.partition("/src/")[2]).with_suffix("").as_posix().replace("/", "."))
    assert callable(reduce(getattr, name.split("."), module))


@pytest.mark.parametrize("number", [1, 3, 4, 9, 10, 11])
def test_each_equation_of_the_paper_is_shown(number):
    assert f"({number}) $$" in (REPO / "docs/equations.md").read_text(encoding="utf-8")


def external(site: Path) -> list[str]:
    """What the pages below a folder would fetch from elsewhere."""
    found = runpy.run_path(str(REPO / "docs/tools/offline.py"))["external"](site)
    return [address for _, address in found]


def test_what_a_page_would_fetch_from_elsewhere_is_found(tmp_path):
    elsewhere = ["//cdn.example/a.js", "https://fonts.example/b.css", "https://example.org/c.png"]
    page = '<script src="{}"></script><link rel="stylesheet" href="{}"><img src="{}"><img src="d.png">'
    follow = '<a href="https://example.org"></a><link rel="canonical" href="https://example.org">'
    (tmp_path / "page.html").write_text(page.format(*elsewhere) + follow)
    (tmp_path / "style.css").write_text("a { background: url(https://example.org/e.png) } b { background: url(f.png) }")
    assert external(tmp_path) == [*elsewhere, "https://example.org/e.png"]


def test_the_built_site_needs_no_network():
    if not (REPO / "site/index.html").exists():
        pytest.skip("the site is not built: nox -s docs")
    assert external(REPO / "site") == []


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [REPO / name for name in listing.stdout.split("\0") if name and (REPO / name).is_file()]


def test_no_tracked_text_names_a_path_of_one_machine():
    found = []
    for file in tracked_files():
        data = file.read_bytes()
        if b"\0" not in data:
            text = data.decode("utf-8", errors="replace")
            found += [(str(file.relative_to(REPO)), path) for path in MACHINE_PATHS if path in text]
    assert not found


def test_the_places_that_contributing_names_are_there():
    text = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Where would I add")[2]
    named = re.findall(r"`((?:packages|plugins|tests|docs|mkdocs)[\w./-]*)`", text.partition("\n## ")[0])
    assert len(named) > 10
    assert [place for place in named if not (REPO / place).exists()] == []
