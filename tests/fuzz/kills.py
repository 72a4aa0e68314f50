"""Ends `dmix compose` and `dmix train` at random moments and starts them again: what is left, and is it the same?

    python tests/fuzz/kills.py [COUNT] [SEED]

Half of the signals are SIGKILL, the others those that a command answers. Each command is a fork of this process, so
that nothing is imported anew. Counts are printed as JSON; the exit code is 1 where one of the last four is not 0.
"""

import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
from conftest import install_toys

from dmix_cli.main import main
from dmix_core.registry import Registry

SIGNALS = [signal.SIGKILL] * 3 + [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
COMPOSE = "compose --background scene --object thing --steps 12 --jump-length 3 -n 5 --batch-size 2 --plugin listing"
TRAIN = (
    "train object ../discs --size 16x16 --steps 6 --batch-size 2 --warmup 2 --flips both --save-every 1 --log-every 1 "
    "--preview-every 3 --preview-samples 1 --preview-steps 1 --verdict-samples 3 --memorisation-samples 3 "
    "--mixed-precision no --quiet"
)
PROBLEMS = ("different", "leftovers", "tracebacks", "wrong exit codes")


@dataclass(frozen=True)
class Command:
    """A command that writes into `out`, and how it is started again.

    Attributes:
        stable: the endings of the files whose bytes are compared; of others, which hold times, the names are.
    """

    words: str
    again: str
    stable: tuple[str, ...]


COMMANDS = {
    "compose": Command(f"{COMPOSE} --gif -o out", f"{COMPOSE} --gif -o out --resume", ("",)),
    "train": Command(f"{TRAIN} -o out", f"{TRAIN} -o out", (".safetensors", "config.json")),
}


@dataclass(frozen=True)
class Ending:
    code: int
    errors: str
    seconds: float


def run(folder: Path, words: str, number: int = 0, delay: float = 0.0) -> Ending:
    """Run a command; where there is a signal, end it so many seconds after it began to write. Its seconds count thence.

    The exit code is negative where the signal itself ended it.
    """
    child = os.fork()
    if not child:
        in_child(folder, words)
    while not (folder / "out").exists():
        time.sleep(0.001)
    began = time.monotonic()
    if number:
        time.sleep(delay)
        os.kill(child, number)
    _, status = os.waitpid(child, 0)
    code, seconds = os.waitstatus_to_exitcode(status), time.monotonic() - began
    return Ending(code, (folder / "errors.txt").read_text(), seconds)


def in_child(folder: Path, words: str) -> None:
    code: object = 70
    try:
        os.chdir(folder)
        errors = os.open("errors.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(errors, 1)
        os.dup2(errors, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main(words.split(), prog_name="dmix")
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def tree(folder: Path, stable: tuple[str, ...]) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() if path.name.endswith(stable) else b"" for path in paths}


def is_right(ended: Ending, number: int) -> bool:
    """It was ended by the signal, or was already done."""
    return ended.code in (0, -number if number == signal.SIGKILL else 128 + number)


def try_one(command: Command, whole: Path, seconds: float, chance: random.Random) -> list[str]:
    """End a command once, run it again, and name what came of it."""
    folder = Path(tempfile.mkdtemp(dir=whole.parent.parent))
    number = chance.choice(SIGNALS)
    ended = run(folder, command.words, number, chance.uniform(0, seconds))
    again = run(folder, command.again)
    expected, found = tree(whole, command.stable), tree(folder / "out", command.stable)
    left = [name for name in found.keys() - expected.keys() if Path(name).name.startswith(".")]
    seen = {
        "ended in time": ended.code != 0,
        "equal": found == expected,
        "different": found != expected,
        "leftovers": bool(left),
        "tracebacks": "Traceback" in ended.errors + again.errors,
        "wrong exit codes": not is_right(ended, number) or again.code != 0,
    }
    if any(seen[problem] for problem in PROBLEMS):
        print(
            folder, signal.Signals(number).name, ended, again, sorted(found.keys() ^ expected.keys()), file=sys.stderr
        )
    return [what for what, is_so in seen.items() if is_so]


def write_discs(folder: Path) -> None:
    """Pictures of a bright disc on a dark ground, and their masks."""
    folder.mkdir()
    y, x = np.mgrid[:32, :32]
    for number in range(4):
        disc = (y - 14 - number) ** 2 + (x - 16) ** 2 < 16
        Image.fromarray((60 + 140 * disc + number).astype(np.uint8)).save(folder / f"{number}.jpg", quality=95)
        Image.fromarray((255 * disc).astype(np.uint8)).save(folder / f"{number}.png")


def counted(work: Path, count: int, seed: int) -> dict[str, Counter[str]]:
    """How often each came of `count` signals, by command."""
    chance, counts = random.Random(seed), {}
    for name, command in COMMANDS.items():
        whole = work / f"{name}-whole"
        whole.mkdir()
        ended = run(whole, command.words)
        assert ended.code == 0, ended.errors
        tried = [try_one(command, whole / "out", ended.seconds, chance) for _ in range(count)]
        counts[name] = Counter({"signals": count} | dict.fromkeys(PROBLEMS, 0))
        counts[name].update(what for seen in tried for what in seen)
    return counts


if __name__ == "__main__":
    count, seed = (int(word) for word in [*sys.argv[1:], *("20", "0")[len(sys.argv) - 1 :]])
    torch.set_num_threads(1)  # a fork has none of its parent's threads
    for module in ("dmix_cli.commands.compose", "dmix_core.run", "dmix_core.edits", "dmix_models.training_setup"):
        importlib.import_module(module)
    importlib.import_module("torch._dynamo")  # by every optimizer
    Registry.load()
    with tempfile.TemporaryDirectory() as name:
        sys.path.insert(0, str(install_toys(Path(name) / "toys")))
        write_discs(Path(name) / "discs")
        counts = counted(Path(name), count, seed)
    print(json.dumps(counts))
    sys.exit(any(each[problem] for each in counts.values() for problem in PROBLEMS))
