"""`dmix sweep`: lists and ranges in, one sheet and one record for each cell out."""

import json
from pathlib import Path

import pytest
from PIL import Image


def test_a_sweep_leaves_a_sheet_and_its_figures(dmix):
    words = (
        "--resamples",
        "0,1",
        "--merge-from",
        "0.5:0.9:0.4",
        "--jump-length",
        "2",
        "--steps",
        12,
        "-n",
        2,
        "--seed",
        1,  # of 0 one mask is empty after so few steps
        "-o",
        "out",
    )
    report = json.loads(dmix("sweep", *words, "--json").stdout)
    assert [axis["values"] for axis in report["axes"]] == [[12], [2], [0, 1], [0.5, 0.9]]
    cells = json.loads(Path("out/sweep.json").read_text(encoding="utf-8"))["cells"]
    assert len(cells) == 4
    assert cells[0]["figures"]["contrast"]["number"] == 2
    assert Image.open("out/sheet.png").width > 400


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "A sweep needs an axis"),
        (("--resamples", "0,,1"), "expected values with commas between"),
        (("--merge-from", "0.9:0.5:0.1"), "has no values; expected FIRST:LAST:STEP"),
        (("--steps", "1:100000:1"), "has 100000 values; expected at most 200"),
        (("--listen-from", "blowhole"), "expected REGION=VALUES, such as blowhole=0.3,0.5"),
    ],
)
def test_what_cannot_be_swept_is_refused(dmix, words, message):
    assert message in " ".join(dmix("sweep", *words, exit_code=2).stderr.split())
