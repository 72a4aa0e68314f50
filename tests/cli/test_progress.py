"""Progress: a bar on a terminal, a few lines in a file."""

import io

import numpy as np
import pytest
from PIL import Image

from dmix_cli.commands.train import session
from dmix_cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("quiet", [False, True])
def test_a_bar_is_drawn_on_a_terminal_unless_it_is_to_be_quiet(quiet):
    file = Terminal()
    with progress("looking", "picture", quiet, file=file) as bar:
        bar.update()
    assert ("looking: 1picture" in file.getvalue()) != quiet


def test_nothing_is_drawn_into_a_file():
    file = io.StringIO()
    with progress("looking", "picture", False, file=file) as bar:
        bar.update()
    assert file.getvalue() == ""


@pytest.fixture
def pairs(tmp_path):
    for number in range(2):
        pixels = np.full((32, 32), 90 + number, np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        mask[10:18, 12:20] = 255
        for part, array in {"images": pixels, "masks": mask}.items():
            (tmp_path / "pairs" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / f"pairs/{part}/{number}.png")
    return tmp_path / "pairs"


def test_commands_leave_a_log_clean(dmix, compose, pairs):
    assert dmix("data", "inspect", pairs).stderr == ""
    assert dmix("data", "crops", pairs, "-o", "crops", "--size", "16x16").stderr == ""
    assert compose().stderr == ""


def test_training_writes_a_line_now_and_then_into_a_log(dmix, pairs, monkeypatch):
    quick = (
        "--size",
        "16x16",
        "--mixed-precision",
        "no",
        "--batch-size",
        2,
        "--preview-samples",
        1,
        "--preview-steps",
        2,
        "--steps",
        3,
    )
    lines = dmix("train", "background", pairs, "-o", "few", *quick).stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["step 3 of 3", "step 3", "step 3"]  # progress and two files
    assert "images/s, 0:00:00 left" in lines[0]
    monkeypatch.setattr(session, "BETWEEN_LINES", 0)
    lines = dmix("train", "background", pairs, "-o", "many", *quick).stderr.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["step 1 of 3", "step 2 of 3", "step 3 of 3"]
