"""Commands that other distributions bring: found by entry points, imported when they are asked for."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dmix_cli.commands import BUILT_IN
from dmix_cli.main import main


@pytest.fixture
def dmix(plugged):
    """Run a command where acme-tools is installed; what would be a traceback is raised."""
    plugged("acme-tools")

    def run(*words, exit_code=0):
        result = CliRunner().invoke(main, words, prog_name="dmix")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return " ".join(result.output.split())

    return run


def test_a_command_of_a_plugin_runs_and_has_help(dmix):
    assert dmix("greet", "--name", "you") == "Hello, you."
    assert "Greet someone." in dmix("greet", "--help")


def test_help_lists_it_with_its_distribution_and_imports_nothing_of_it(dmix):
    text = dmix("--help")
    listed = text.partition("Commands of plugins: ")[2]
    assert "absent From acme-tools 2.1.0." in listed
    assert "greet From acme-tools 2.1.0." in listed
    assert "acme_tools" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "absent",
            "The command 'absent' of acme-tools 2.1.0 is broken: ModuleNotFoundError: No module named 'acme_lib",
        ),
        ("number", "The command 'number' of acme-tools 2.1.0 is 7; expected a click command."),
    ],
)
def test_a_broken_command_is_an_error_only_where_it_is_called(dmix, name, message):
    assert message in dmix(name, exit_code=1)
    assert dmix("greet") == "Hello, world."


def test_a_name_of_dmix_itself_stays(dmix):
    assert "Compose images" in dmix("compose", "--help")
    assert "command compose of acme-tools 2.1.0: refused: 'compose' is a command of dmix itself" in dmix("plugins")


def test_the_allow_list_limits_commands(dmix, monkeypatch):
    monkeypatch.setenv("DMIX_PLUGINS", "soft-mask")
    assert "acme-tools" not in dmix("--help")
    assert "acme-tools 2.1.0: left out by the environment variable DMIX_PLUGINS" in dmix("greet", exit_code=2)
    monkeypatch.setenv("DMIX_PLUGINS", "acme-tools:greet")
    assert dmix("greet") == "Hello, world."


def test_an_unknown_command_is_wrong_use(dmix):
    assert "No such command 'gret'" in dmix("gret", exit_code=2)


def test_the_table_has_the_name_and_the_line_of_each_command():
    for name, command in BUILT_IN.items():
        loaded = command.load()
        assert (loaded.name, loaded.short_help) == (name, command.help)


LISTED = """
import sys
from dmix_cli.main import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "numpy", "PIL", "pydantic", "pluggy", "acme_tools"}, loaded
commands = {name for name in sys.modules if name.startswith("dmix_cli.commands.")}
assert not commands, commands
"""


@pytest.mark.parametrize("allowed", [None, "acme-tools"])
def test_help_imports_no_command_and_nothing_heavy(site, allowed):
    environment = os.environ | {"PYTHONPATH": str(site("acme-tools"))} | ({"DMIX_PLUGINS": allowed} if allowed else {})
    done = subprocess.run([sys.executable, "-c", LISTED], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "From acme-tools 2.1.0." in done.stdout
