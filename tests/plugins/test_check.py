"""`dmix plugins check`: every promise of what is installed, kept or broken."""

import sys

import pytest
from click.testing import CliRunner

from dmix_cli.main import main
from dmix_cli.scaffold import write_plugin


@pytest.fixture
def check():
    """check(*words): what the command prints; what would be a traceback is raised."""

    def run(*words, exit_code=0):
        result = CliRunner().invoke(main, ["plugins", "check", *map(str, words)], prog_name="dmix")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result.output

    return run


@pytest.fixture
def broken(tmp_path, linked):
    """A plugin whose weights leave their regions, and whose opacity has no default."""
    package = write_plugin("my-leak", tmp_path)
    module = package / "src/dmix_my_leak/__init__.py"
    text = module.read_text().replace("layer.matte * self.opacity", "layer.matte * self.opacity + 0.1")
    module.write_text(text.replace("opacity: float = 0.8", "opacity: float"))
    linked(package)


def test_a_plugin_that_works_keeps_every_promise_of_all_that_it_provides(plugged, check):
    plugged("acme-mix")
    printed = check("acme-mix", "--set", "lean.other=flat:0.5", "--examples", 5)
    for line in [
        "merge rule average",
        "timestep schedule yoyo",
        "stepper sure",
        "denoiser flat",
        "classifier bright",
        "exporter means",
        "  kept    weights sum to one at every pixel",
        "  kept    it returns every path that it wrote",
        "wrapper lean",
    ]:
        assert line in printed
    assert "BROKEN" not in printed
    assert printed.splitlines()[-1].startswith("acme-mix keeps all ")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["acme"], "merge rule average"),
        (["average", "--set", "threshold=0.2"], "average keeps all 21 promises."),
        (["average", "--set", "average.threshold=0.2"], "average keeps all 21 promises."),
        (["flat:0.5", "--set", "shift=0.1"], "denoiser flat:0.5"),
        (["bright:2", "--denoiser", "flat"], "classifier bright:2"),
        (["lean", "--set", "other=flat:0.5", "--denoiser", "flat"], "wrapper lean"),
    ],
)
def test_one_name_or_a_plugin_by_its_entry_point(plugged, check, words, line):
    plugged("acme-mix")
    assert line in check(*words, "--examples", 2).splitlines()


def test_what_cannot_be_made_without_a_setting_is_not_checked_and_said_so(plugged, check):
    plugged("acme-mix")
    printed = check("acme-mix", "--examples", 1)
    assert "  not checked: The wrapper 'lean' of acme-mix 1.2.0: it needs the setting 'other'." in printed
    assert printed.endswith("promises. Not checked: lean.\n")


def test_a_broken_promise_comes_with_its_input_and_lines_that_break_it_again(broken, check):
    printed = check("my-leak", "--set", "opacity=0.5", exit_code=1)
    assert "  BROKEN  weights are zero outside of their region (region 1 has 0.1)" in printed
    assert "  kept    weights sum to one at every pixel" in printed
    assert "Error: my-leak breaks 2 of 21 promises." in printed
    _, lines, *_ = printed.split("To see it again:\n")
    code = [line.strip() for line in lines.splitlines() if line.startswith(" " * 14)]
    names = {}
    exec("\n".join([*code[:-1], f"merged = {code[-1]}"]), names)
    assert names["merged"].weights[1].max() >= 0.1


def test_a_prediction_has_a_limit_that_can_be_set(plugged, check):
    plugged("acme-mix")
    printed = check("flat", "--set", "shift=40", "--examples", 1, exit_code=1)
    assert "BROKEN  the clean image: within the limit (it reaches 40, the limit is 10.0)" in printed
    assert "denoiser = registry.denoiser('flat', compute, {'shift': 40})" in printed
    check("flat", "--set", "shift=40", "--limit", 50, "--examples", 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["my-leak"], "it needs the setting 'opacity'"),
        (["my-leak", "--set", "opacity=2"], "opacity is 2.0; expected 0..1"),
        (["my-leak", "--set", "opactiy=1"], "it has no setting 'opactiy'. Did you mean 'opacity'?"),
        (["dmix-soft-mask", "--set", "hard-mask.threshold=1"], "--set hard-mask.threshold: nothing that is checked"),
        (["dmix-my-leek"], "Nothing installed is called 'dmix-my-leek'. Did you mean 'dmix-my-leak'?"),
        (["acme-absent"], "acme-absent 0.3.0 is broken: ModuleNotFoundError: No module named 'acme_library"),
    ],
)
def test_wrong_use_is_told_before_anything_is_checked(broken, plugged, check, words, message):
    plugged("acme-absent")
    printed = check(*words, exit_code=2)
    assert message in " ".join(printed.split())
    assert "kept" not in printed


def test_what_is_left_out_cannot_be_checked(broken, check, monkeypatch):
    monkeypatch.setenv("DMIX_PLUGINS", "")
    assert "left out by the environment variable DMIX_PLUGINS" in check("dmix-my-leak", exit_code=2)


def test_without_hypothesis_it_says_what_to_install(check, monkeypatch):
    for name in [
        name for name in sys.modules if name.startswith(("dmix_core.testing", "dmix_cli.commands.plugins.check"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    printed = check("hard-mask", exit_code=1)
    assert printed.startswith(
        'Error: dmix_core.testing needs hypothesis; install it with pip install "dmix-core[testing]"'
    )
