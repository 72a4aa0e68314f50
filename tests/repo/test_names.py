"""A module's name is unique: none is used twice over the packages."""

from collections import Counter

PLUGIN = "plugin"  # the module that an entry point names, in each package that has one
COMMANDS = {"list", "show", "memorisation", "sweep"}  # of dmix_cli, each named after its command


def test_no_two_modules_are_called_the_same(repo):
    files = [file for file in repo.glob("packages/*/src/**/*.py") if not file.stem.startswith("__")]
    counts = Counter(file.stem for file in files)
    assert len(counts) > 100
    assert {name for name, count in counts.items() if count > 1} - COMMANDS - {PLUGIN} == set()
