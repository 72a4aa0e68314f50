"""TensorBoard: what its own reader finds in the files."""

import io
import sys

import pytest
from PIL import Image

from dmix_models.tensorboard import Board, TensorBoardError, check_installed

tensorboard = pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def line(step, **changes):
    return {"step": step, "loss": 1 / step, "image_loss": 0.5, "quarters": [0.1, None, 0.3, 0.4], "eta": 3.0} | changes


def test_scalars_and_previews_are_found(tmp_path):
    Image.new("L", (6, 4), 200).save(tmp_path / "preview.png")
    with Board(tmp_path / "board", 0) as board:
        for step in (10, 20):
            board.write(line(step, mask_loss=0.25 if step == 20 else None))
        board.show(tmp_path / "preview.png", 20)
    events = read(tmp_path / "board")
    assert [(event.step, event.value) for event in events.Scalars("loss/total")] == [
        (10, pytest.approx(0.1)),
        (20, pytest.approx(0.05)),
    ]
    assert [event.step for event in events.Scalars("loss/mask")] == [20]
    assert "loss/quarter 2" not in events.Tags()["scalars"]
    assert events.Scalars("loss/quarter 4")[0].value == pytest.approx(0.4)
    (shown,) = events.Images("preview")
    assert (shown.step, shown.width, shown.height) == (20, 6, 4)
    assert Image.open(io.BytesIO(shown.encoded_image_string)).convert("RGB").getpixel((0, 0)) == (200, 200, 200)


def test_steps_that_are_done_again_are_there_once(tmp_path):
    with Board(tmp_path, 0) as board:
        for step in (1, 2, 3, 4):
            board.write(line(step, loss=1.0))
    with Board(tmp_path, 2) as board:  # what came after step 2 was lost
        for step in (3, 4, 5):
            board.write(line(step, loss=2.0))
    events = read(tmp_path).Scalars("loss/total")
    assert [(event.step, event.value) for event in events] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]


def test_without_the_package_it_is_told_what_to_install(monkeypatch):
    check_installed()
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TensorBoardError, match=r"pip install 'dmix-models\[tensorboard\]'"):
        check_installed()
