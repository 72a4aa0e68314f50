"""What a training reports: its page, event files, and whether it repeats what it was shown."""

import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from dmix_data.datasets import Windows
from dmix_data.loader import Picture
from dmix_models.tensorboard import TensorBoardError
from dmix_models.trainer import TrainConfig, train

SETTINGS = TrainConfig(
    steps=6,
    batch_size=2,
    warmup=2,
    save_every=3,
    preview_every=3,
    preview_samples=2,
    preview_steps=2,
    log_every=1,
    memorisation_samples=3,
    verdict_samples=3,
    mixed_precision="no",
)


@pytest.fixture
def crops():
    grain = np.random.default_rng(0).integers(0, 256, (4, 18, 18, 1), np.uint8)
    return Windows([Picture(Path(f"{n}.png"), pixels) for n, pixels in enumerate(grain)], (16, 16))


@pytest.fixture
def model(tiny):
    network = tiny.network.model_copy(update={"in_channels": 3, "out_channels": 6})
    return tiny.model_copy(update={"role": "background", "mask_channels": 0, "network": network})


def test_the_page_is_written_with_each_checkpoint(tmp_path, model, crops):
    pages = {}
    for step in train(model, SETTINGS, crops, tmp_path):
        if step.page:
            assert step.page == tmp_path / "training" / "report.html"
            pages[step.step] = step.page.read_text()
    assert [*pages] == [3, 6]
    assert "step 3</p>" in pages[3]
    assert "step 6</p>" in pages[6]
    assert "samples at step 3" in pages[6]
    assert "Memorisation" not in pages[3]
    assert "Memorisation" in pages[6]


def test_what_few_pictures_taught_is_held_against_them_at_the_end(tmp_path, model, crops):
    *_, last = train(model, SETTINGS, crops, tmp_path)
    (verdict,) = last.verdicts
    assert verdict.startswith("No sign of copying: 0 of 3 samples")
    (found,) = json.loads((tmp_path / "training" / "memorisation.json").read_text())["classes"]
    assert (found["verdict"], found["groups"]) == (verdict, 4)


@pytest.mark.parametrize("why", ["not asked for", "many pictures", "too few pictures"])
def test_there_may_be_no_memorisation_report(tmp_path, model, crops, why):
    settings = SETTINGS.model_copy(update={"memorisation_samples": 0} if why == "not asked for" else {})
    pictures = {"many pictures": crops.pictures * 26, "too few pictures": crops.pictures[:2]}.get(why, crops.pictures)
    *_, last = train(model, settings, Windows(pictures, (16, 16)), tmp_path)
    assert last.verdicts == ()
    assert last.page
    assert not (tmp_path / "training" / "memorisation.json").exists()


def test_event_files_go_on_where_a_run_was_interrupted(tmp_path, model, crops):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = SETTINGS.model_copy(update={"tensorboard": True})
    list(islice(train(model, settings, crops, tmp_path), 5))  # saved at 3, reported until 5
    list(train(model, settings, crops, tmp_path))
    assert list(train(model, settings, crops, tmp_path)) == []
    events = EventAccumulator(str(tmp_path / "training" / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    lines = [json.loads(line) for line in (tmp_path / "training" / "metrics.jsonl").read_text().splitlines()]
    logged = [(event.step, event.value) for event in events.Scalars("loss/total")]
    assert logged == [(line["step"], pytest.approx(line["loss"], rel=1e-6)) for line in lines]
    assert [event.step for event in events.Images("preview")] == [3, 6]


def test_without_tensorboard_nothing_begins(tmp_path, model, crops, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TensorBoardError, match="pip install"):
        train(model, SETTINGS.model_copy(update={"tensorboard": True}), crops, tmp_path / "out")
    assert not (tmp_path / "out").exists()
