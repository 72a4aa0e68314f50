"""Signals, warnings, control characters and what plugins print: stdout and exit codes stay what they are."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from dmix_cli.commands import BUILT_IN
from dmix_cli.printing import printable

HOOK = "from dmix_core.hookspecs import hookimpl\n"
LOUD = (
    HOOK
    + """
print("loaded")

from dmix_core import HardMask

class Loud(HardMask):
    def __call__(self, layers, progress):
        print("merging")
        return super().__call__(layers, progress)

@hookimpl
def dmix_merge_rules():
    print("asked")
    return {"loud": Loud}
"""
)
IMPATIENT = (
    HOOK
    + """
from dmix_core import HardMask

class Impatient(HardMask):
    def __call__(self, layers, progress):
        raise KeyboardInterrupt

@hookimpl
def dmix_merge_rules():
    return {"impatient": Impatient}
"""
)


@pytest.fixture
def add(tmp_path_factory, monkeypatch):
    """add(name, code, *metadata): the distribution acme-NAME with one module, as pip leaves it."""
    modules = []

    def add(name, code, *metadata):
        folder = tmp_path_factory.mktemp(name)
        modules.append(module := f"acme_{name}")
        (folder / f"{module}.py").write_text(code)
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "\n".join(["Metadata-Version: 2.1", f"Name: acme-{name}", "Version: 1.0", *metadata])
        )
        (info / "entry_points.txt").write_text(f"[dmix]\n{name} = {module}\n")
        monkeypatch.syspath_prepend(str(folder))

    yield add
    for module in modules:
        sys.modules.pop(module, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_with_its_number_and_names_the_plugin_that_ran(toys, tmp_path, number):
    def heed():
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)

    words = ["compose", "--background", "slow", "--object", "thing", "--steps", "1000"]
    running = subprocess.Popen(
        [sys.executable, "-m", "dmix_cli", *words],
        env=os.environ | {"PYTHONPATH": str(toys)},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "dmix-out/recipe.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert "Interrupted." in errors
    assert "Traceback" not in errors


def test_an_interruption_inside_a_plugin_names_it(add, compose):
    add("impatient", IMPATIENT)
    result = compose("--plugin", "impatient", exit_code=130)
    assert "Interrupted. The plugin acme-impatient 1.0 was running." in result.stderr


def test_what_a_plugin_prints_does_not_get_into_the_json(add, compose):
    add("loud", LOUD)
    result = compose("--plugin", "loud", "--json")
    assert len(json.loads(result.stdout)["samples"]) == 1
    assert {"loaded", "asked", "merging"} <= {*result.stderr.splitlines()}


def test_a_plugin_for_another_dmix_is_broken_and_not_imported(add, dmix):
    add("late", "raise SystemExit('imported')", "Requires-Dist: dmix-core>=7,<8")
    printed = dmix("plugins").stdout
    assert "acme-late 1.0 (late): broken\n  it requires dmix-core<8,>=7, but dmix-core " in printed


@pytest.mark.parametrize("code", ["class Odd(BaseException): pass\nraise Odd('so')", "raise GeneratorExit('so')"])
def test_what_derives_from_base_exception_alone_breaks_only_its_plugin(add, dmix, code):
    add("odd", code)
    assert "acme-odd 1.0 (odd): broken\n" in dmix("plugins").stdout


def test_control_characters_of_file_names_are_escaped(dmix):
    assert "\x1b" not in dmix("models", "show", "a\x1b[31mb", exit_code=2).stderr
    assert printable("\x1b[31mred\tand\nblue\x9b\r") == "\\x1b[31mred\tand\nblue\\x9b\\r"


def test_a_training_escapes_the_names_of_its_files(dmix, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])  # as outside of pytest
    folder = Path("data\x1b[31m")
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{number}\x1b[32m.png")
        mask = np.zeros((16, 16), np.uint8)
        mask[4:10, 4:10] = 255 * (number > 0)
        Image.fromarray(mask).save(folder / f"masks/{number}\x1b[32m.png")
    few = ("--steps", 1, "--batch-size", 1, "--preview-samples", 1, "--preview-steps", 1, "--mixed-precision", "no")
    short = (*few, "--size", "16x16", "--verdict-samples", 0, "--memorisation-samples", 0, "--on-error", "skip")
    result = dmix("train", "object", folder, "-o", "model\x1b[31m", *short)
    assert "0\\x1b[32m.png: the mask shows no object" in result.stderr
    assert "step 1: checkpoint model\\x1b[31m" in result.stderr
    assert "\x1b" not in result.output


def test_a_device_is_no_file_to_write(dmix):
    words = ("models", "samples", "defects", "-n", 1, "--steps", 1, "-o", "/dev/null")
    assert "it is there and is no ordinary file" in dmix(*words, exit_code=1).stderr
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("words", [["samples", "defects"], ["memorisation", "defects", "."]])
def test_models_on_a_device_that_is_not_there_are_wrong_use(dmix, words):
    assert "Cannot compute on the device 'tpu9'" in dmix("models", *words, "--device", "tpu9", exit_code=2).stderr


def test_a_check_on_a_device_that_is_not_there_is_wrong_use(dmix):
    assert (
        "Cannot compute on the device 'meta'"
        in dmix("plugins", "check", "scene", "--device", "meta", exit_code=2).stderr
    )


def test_a_folder_called_like_a_plugin_does_not_hide_it(dmix):
    Path("dmix-soft-mask").mkdir()
    assert "keeps all" in dmix("plugins", "check", "dmix-soft-mask", "--examples", 1).stdout


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (["models", "samples", "defects", "-n", 10**9], "1000000000 is more than 1000000, the most"),
        (["models", "samples", "defects", "--steps", 10**9], "1000000000 is more than 100000, the most"),
        (["models", "samples", "defects", "--seed", 2**63], f"{2**63} is more than {2**63 - 1}, the most"),
        (["plugins", "check", "scene", "--limit", "nan"], "nan is not a finite number"),
        (["plugins", "check", "scene", "--limit", "inf"], "inf is not a finite number"),
        (["compose", "--size", "100000x100000"], "expected at most 65536 pixels a side and 100000000 in all"),
        (["compose", "--size", f"{'9' * 5000}x1"], "is too large"),
        (["train", "object", ".", "-o", "m", "--steps", 1, "--warmup", 10**30], "less than or equal to 1000000000"),
        (["train", "object", ".", "-o", "m", "--steps", 1, "--verdict-samples", 10**9], "less than or equal to 10000"),
        (["train", "object", ".", "-o", "m", "--steps", 1, "--preview-samples", 10**9], "less than or equal to 10000"),
        (["train", "object", ".", "-o", "m", "--steps", 1, "--merge-distance", 10**9], "1<=x<=1024"),
        (["compose", "--resamples", 10**9], "1000000000 is more than 10000, the most"),
        (["compose", "--batch-size", 10**9], "1000000000 is more than 65536, the most"),
        (["compose", "--plugin", "soft-mask", "--set", f"feather={10**9}"], "to 64 pixels"),
        (["compose", "--listen-from", "blowhole=nan"], "expected REGION=FRACTION"),
    ],
)
def test_numbers_are_bounded_with_the_limit_in_the_message(dmix, words, limit):
    assert limit in " ".join(dmix(*words, exit_code=2).stderr.split())


def number_types(command):
    """Every type of an option that takes fractions."""
    for parameter in command.params:
        parts = parameter.type.types if isinstance(parameter.type, click.Tuple) else [parameter.type]
        yield from (part for part in parts if part.name in ("float", "float range"))


def commands(command):
    if not isinstance(command, click.Group):
        return [command]
    return [leaf for name in command.commands for leaf in commands(command.commands[name])]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_no_option_takes_nan_or_infinity(name, text):
    for command in commands(BUILT_IN[name].load()):
        for kind in number_types(command):
            with pytest.raises(click.BadParameter):
                kind.convert(text, None, None)


def test_settings_are_shown(dmix):
    assert "lift-mask takes threshold: float = 0.5, lift: int = 0, on: bool = True" in dmix("plugins").stdout
    shown = dmix("plugins", "show", "lift-mask").stdout
    assert "lift-mask: a merge rule of dmix-toys 1.2" in shown
    assert "  label: str = 'none'" in shown
    assert "Did you mean 'lift-mask'?" in dmix("plugins", "show", "lift-mas", exit_code=2).stderr
