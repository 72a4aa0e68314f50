"""The README's commands, code and links, and what may stand in no tracked file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
READMES = sorted([REPO / "README.md", *REPO.glob("packages/*/README.md"), *REPO.glob("plugins/*/README.md")])
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


PYTHON = [code for readme in READMES if readme.parent.parent.name != "plugins" for code in blocks(readme, "python")]


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.splitlines()[0])
def test_the_python_of_readmes_runs(code, tmp_path):
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("readme", READMES, ids=lambda file: str(file.relative_to(REPO)))
def test_links_lead_to_files(readme):
    text = re.sub(r"^```.*?^```$", "", readme.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", text) + re.findall(r'(?:src|href)="([^"#]+)', text)
    local = [target for target in targets if not re.match(r"\w+:", target)]
    assert [target for target in local if not (readme.parent / target).exists()] == []


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
