"""Hostile words for every option of every command: an exit code of 0, 1 or 2, no traceback, and never a hang."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dmix_cli.commands import BUILT_IN
from dmix_cli.main import main
from dmix_core.composer import Composer
from dmix_core.errors import CompositionError

NUMBERS = [
    *("-1", "0", "1", "7", "1e308", "1e-320", "nan", "-nan", "inf", "-inf", "+5", "0x10", "1_000", "1.5", "٣", "１２"),
    *(str(2**31), str(2**63 - 1), str(2**63), str(-(2**63) - 1), str(2**64), "9" * 400, "9" * 5000),
]
NAMES = [
    *(
        "",
        " ",
        "a",
        ".",
        "..",
        "/",
        "~",
        "-",
        "--",
        "=",
        ":",
        "@",
        "\t",
        "\n",
        "tiles",
        "photo:",
        "checkpoint:.",
        "a:b:c",
    ),
    *(
        "\0",
        "a\0b",
        "\x1b[31mred",
        "\r\n",
        "\u2028",
        "\udcff",
        "ö" * 300,
        "a" * 5000,
        "../../x",
        "%s%n",
        "{0}",
        "$HOME",
    ),
    *("/dev/null", "/dev/zero", "/dev/full", "nowhere.png", "pipe", "binary", "deep.json", "folder", "folder:", "loop"),
]
PIECES = [
    *("100000x100000", "1x1", "0x0", "-1x5", f"{'9' * 5000}x2", "65536x65536", "blowhole@1,2,3,4", "a@,,,", "@1,2,3,4"),
    *(f"blowhole@{'9' * 5000},0,1,1", "threshold=nan", "threshold=[[[", f"a={'[' * 100_000}", "a.b.c=1", ".=1", "=1"),
    *("blowhole=nan", "blowhole=inf", "blowhole=", "=0.5", "0,50,nan", "1," * 2000, "a,a", ",", "none=none=none"),
]


def leaves(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that lead to it."""
    if not isinstance(command, click.Group):
        yield words, command
        return
    for name in command.list_commands(click.Context(command)):
        yield from leaves(command.get_command(click.Context(command), name), (*words, name))


LEAVES = [leaf for name, lazy in BUILT_IN.items() for leaf in leaves(lazy.load(), (name,))]


def hostile(draw: random.Random) -> str:
    return draw.choice(draw.choice((NUMBERS, NAMES, PIECES)))


def words_for(command: click.Command, draw: random.Random) -> list[str]:
    """Arguments and some options of a command, each with a hostile value."""
    words = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words += [hostile(draw)] if parameter.required or draw.random() < 0.3 else []
        elif parameter.required or draw.random() < 0.15:
            words.append(draw.choice(parameter.opts))
            words += [] if parameter.is_flag else [value(parameter, draw) for _ in range(parameter.nargs)]
    return words


def value(option: click.Option, draw: random.Random) -> str:
    choices = getattr(option.type, "choices", None)
    return draw.choice(choices) if choices and draw.random() < 0.7 else hostile(draw)


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """invoke(words): the result of a call in a folder of hostile files, in which nothing is composed."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("binary").write_bytes(bytes(range(256)) * 50)
    Path("deep.json").write_text("[" * 100_000)
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")

    def nothing(*_: object, **__: object) -> None:
        raise CompositionError("Nothing is composed here.")

    monkeypatch.setattr(Composer, "steps", nothing)

    def run(words):
        result = CliRunner().invoke(main, words, prog_name="dmix")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code in (0, 1, 2)
        assert "Traceback" not in result.output
        assert "\x1b" not in result.output

    return run


def test_the_corpus_reaches_every_command():
    assert {words[0] for words, _ in LEAVES} == {*BUILT_IN}
    assert len(LEAVES) >= 12


def test_hostile_words_are_answered_without_their_commands_work(invoke, inputs, monkeypatch):
    """Parsing alone: what is understood goes no further."""
    for _, command in LEAVES:
        monkeypatch.setattr(command, "callback", lambda **_: None)
    with inputs("command lines", few=400, of=2) as lines:
        for draw in lines:
            lead, command = draw.choice(LEAVES)
            words = [*lead, *words_for(command, draw)]
            lines.attempt(invoke, words, shown=words)


BODIES = [
    line.split()
    for line in """
        compose *
        compose --background *
        compose --object *
        compose --plugin *
        compose --set *
        compose --wrap *
        compose --device *
        compose --steps *
        compose --size *
        compose --export *
        sweep --background * --steps 2,3
        sweep --steps *
        sweep --merge *
        sweep --set *
        models show *
        models samples *
        models memorisation * folder
        models import binary -o new --preset *
        models import * -o o --preset a
        plugins show *
        plugins check *
        plugins new *
        plugins check a --set *
        data inspect *
        data inspect folder --layout *
        data crops folder -o *
        data crops * -o new
        train background * -o new
        train object folder -o *
        train object * -o new --dry-run
    """.splitlines()
    if line.strip()
]


@pytest.mark.parametrize("body", BODIES, ids=" ".join)
def test_hostile_words_are_answered_by_the_commands_themselves(invoke, inputs, body):
    with inputs("command lines", few=9, of=2 * len(BODIES)) as lines:
        for draw in lines:
            word = hostile(draw)
            words = [word if each == "*" else each for each in body]
            if word.startswith("/dev/") and "-o" in words:
                continue  # a folder below the system's own
            lines.attempt(invoke, words, shown=words)
