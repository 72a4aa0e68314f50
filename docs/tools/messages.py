"""Writes docs/messages.md: what the most frequent mistakes are answered with, as the commands print it.

    python docs/tools/messages.py

A test compares the page with what the commands print now.
"""

import os
import textwrap
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from click.testing import CliRunner
from PIL import Image

from dmix_cli.main import main

PAGE = Path(__file__).parents[1] / "messages.md"
WIDTH = 110
QUICK = "--steps 2 --resamples 0 --no-strip -q"
LARGE = "--size 128x128 --set background.grid=128x128"
INTRODUCTION = """\
# Messages

What is printed where something was typed that is not understood, or that may not be meant. Each message states what
was given, what was expected and what to type instead. Mistakes in what was typed end with exit code 2, failures at work
with 1, before anything is written; notes end nothing.

[docs/tools/messages.py](tools/messages.py) writes this page. It runs the commands in a folder with `photo.png`,
`spot.png` (a square that is hardly darker than the photograph), `photos/` (three pictures), `pairs/` (pictures with
masks, one of which has another size), `spots/` (pictures with the mask of a square) and `empty/`. Long lines are
wrapped; the lines about usage before an error and the estimates of a dry run are left out.
"""
CASES = {
    "Composing: what is not understood": [
        ("A photograph and nothing to put into it", "compose --background photo.png"),
        ("A folder of photographs as the background", "compose --background photos"),
        ("A name or path with a slip", "compose --object defects:blowole"),
        ("", "compose --background photo.jpg --object defects:blowhole"),
        ("A model that was replaced", "compose --object blowhole"),
        ("A box that leaves the canvas", "compose --object defects:blowhole@40,40,64,64"),
        ("Early listening without the region that listens", "compose --listen-from 0.7"),
        (
            "One of two objects of the same model",
            "compose --object defects:blowhole --object defects:blowhole --listen-from blowhole-1=0.7",
        ),
        ("The paper's symbols", "compose --tau 10"),
        ("", "compose --r 5"),
        ("", "compose --set tau=10"),
        ("Few steps, but a long jump", "compose --steps 5"),
    ],
    "Composing: what may not be meant": [
        ("A canvas that is larger than the background's model", f"compose --size 192x64 {QUICK}"),
        (
            "A box that is larger than the object's model",
            f"compose {LARGE} --object defects:blowhole@0,0,128,128 {QUICK}",
        ),
        (
            "Early listening of one of two objects",
            f"compose {'--object defects:blowhole ' * 2}--listen-from blowhole=0.7 {QUICK}",
        ),
        ("A merge rule that leaves masks empty", f"compose --plugin multidiffusion {QUICK}"),
        ("Objects that have faded", "compose --background photo.png --object spot.png -n 3 --no-strip"),
    ],
    "Plugins": [
        ("A wrapper as --plugin", "compose --plugin panorama"),
        ("A data set's layout as --plugin", "compose --plugin kitti"),
        ("A setting with a slip", "compose --set treshold=0.6"),
        ("A setting of a plugin that is not in use", "compose --set soft-mask.feather=2"),
        ("A check of what is not installed", "plugins check softmask"),
    ],
    "Data": [
        ("A folder without pictures", "data inspect empty"),
        ("A picture in the place of a folder", "data inspect photo.png"),
        ("Pictures without masks", "data crops photos -o crops"),
    ],
    "Training": [
        ("No number of steps", "train background photos -o model"),
        ("Objects without masks", "train object photos -o model --steps 100"),
        ("A mask of another size", "train object pairs -o model --steps 100"),
        ("A grid that the network cannot halve", "train background photos -o model --steps 100 --size 50x50"),
        ("Pictures that are smaller than the grid", "train background photos -o model --steps 100 --size 128x128"),
        ("A model that is not there", "train background photos -o model --steps 100 --init tile"),
    ],
    "Training: what may not be meant": [
        (
            "An object model that begins with one without a mask",
            "train object spots -o model --steps 400 --batch-size 1 --init tiles --dry-run",
        ),
    ],
    "Commands": [("A command with a slip", "composee")],
}
"""By section what was meant, "" where it is as before, and what is typed."""


def page() -> str:
    """The page's text."""
    with TemporaryDirectory() as folder, chdir(folder):
        _make_files()
        return "\n".join([INTRODUCTION, *_sections(Path(folder).resolve())])


def _make_files() -> None:
    for name in ("photos", "pairs", "spots", "empty"):
        Path(name).mkdir()
    plain = Image.new("RGB", (96, 80), (90, 90, 90))
    plain.save("photo.png")
    for i in range(3):
        plain.save(f"photos/{i}.png")
        plain.save(f"pairs/{i}.jpg")
        Image.new("L", (96, 80 if i else 70), 255).save(f"pairs/{i}.png")
    mask = Image.new("L", plain.size)
    mask.paste(255, (30, 30, 44, 44))
    for i in range(2):
        plain.save(f"spots/{i}.jpg")
        mask.save(f"spots/{i}.png")
    spot = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    spot.paste((88, 88, 88, 255), (4, 4, 12, 12))
    spot.save("spot.png")


def _sections(folder: Path) -> Iterator[str]:
    for section, cases in CASES.items():
        yield f"## {section}\n"
        for meant, typed in cases:
            yield from [f"{meant}:\n"] if meant else []
            yield f"```console\n$ dmix {typed}\n{_output(typed, folder)}\n```\n"


def _output(typed: str, folder: Path) -> str:
    """What a command prints, as a terminal of WIDTH shows it."""
    done = CliRunner().invoke(main, typed.split(), prog_name="dmix")
    printed = (done.stderr if "--dry-run" in typed else done.output).replace(f"{folder}{os.sep}", "")
    lines = printed.partition("--help' for help.\n\n")[2] or printed
    return "\n".join(textwrap.fill(line, WIDTH, break_on_hyphens=False) for line in lines.splitlines())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
