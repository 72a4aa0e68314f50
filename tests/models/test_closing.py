"""What follows the last step is done, whatever the classes are called and wherever it was cut off."""

import json
import os
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from dmix_data.datasets import ObjectCrops
from dmix_data.loader import Picture
from dmix_models import checkpoint, closing
from dmix_models.closing import read_verdict
from dmix_models.ownership import InUseError
from dmix_models.resume import ResumeError, SaveError
from dmix_models.trainer import Origin, TrainConfig, TrainingError, train

CONFIG = TrainConfig(
    steps=2,
    batch_size=2,
    warmup=1,
    mixed_precision="no",
    save_every=1,
    preview_every=2,
    preview_samples=1,
    preview_steps=1,
    log_every=2,
    memorisation_samples=2,
    verdict_samples=2,
)


def crops_of(*classes):
    """Grey pictures of a bright disc on a dark ground with its mask, of some classes in turn."""
    y, x = np.mgrid[:24, :24]
    pictures = []
    for number in range(3 * len(classes)):
        disc = (y - 10 - number % 3) ** 2 + (x - 12) ** 2 < 16
        image = (60 + 140 * disc + number).astype(np.uint8)[..., None]
        name = classes[number % len(classes)]
        pictures.append(Picture(Path(f"{number}.png"), image, (255 * disc).astype(np.uint8), class_name=name))
    return ObjectCrops(pictures, (16, 16))


@pytest.fixture
def crops():
    return crops_of(None)


@pytest.fixture
def small(tiny):
    unet = tiny.network.model_copy(update={"model_channels": 8, "channel_mult": (1,), "norm_groups": 4})
    return tiny.model_copy(update={"network": unet})


def conditional(model, *classes):
    return model.model_copy(
        update={"classes": classes, "network": model.network.model_copy(update={"num_classes": len(classes)})}
    )


def test_a_training_ends_with_a_verdict_in_record_card_and_page(tmp_path, small, crops):
    *_, last = train(small, CONFIG, crops, tmp_path)
    verdict = read_verdict(tmp_path / "training")
    assert verdict.steps == 2
    assert not verdict.ready  # it has hardly begun
    assert verdict.summary in (tmp_path / "README.md").read_text()
    page = last.page.read_text()
    assert "Is it ready?" in page
    assert "samples beside training crops" in page
    for about in ("loss", "light", "grain", "objects", "seen"):
        assert f"<td>{about}</td>" in page


def test_without_samples_the_verdict_admits_it(tmp_path, small, crops):
    none = CONFIG.model_copy(update={"verdict_samples": 0, "memorisation_samples": 0})
    list(train(small, none, crops, tmp_path))
    found = {finding.about: finding.fine for finding in read_verdict(tmp_path / "training").findings}
    assert found["samples"] is None
    assert not list((tmp_path / "training").glob("verdict*.png"))


def test_classes_may_be_called_anything(tmp_path, small):
    names = ("bottle/broken", "bottle\\broken", "../../up", "ä " + "long " * 60)
    list(train(conditional(small, *names), CONFIG, crops_of(*names), tmp_path / "out"))
    folder = tmp_path / "out/training"
    assert len(list(folder.glob("verdict-*.png"))) == len(list(folder.glob("memorisation-*.png"))) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert closing.finished(folder, 2)


def test_names_that_are_no_text_are_refused_before_any_step(tmp_path, small, crops):
    model = conditional(small, "a", "\udce4")
    with pytest.raises(TrainingError, match=r"name .*\\udce4.* cannot be written as UTF-8"):
        train(model, CONFIG, crops_of("a", "\udce4"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    origin = Origin(data="\udce4", command="dmix \udce4")
    crops.pictures[0] = replace(crops.pictures[0], path=Path("\udce4.png"))
    list(train(small, CONFIG, crops, tmp_path / "out", origin))
    assert "training data: \\udce4" in (tmp_path / "out/README.md").read_text()
    assert list(train(small, CONFIG, crops, tmp_path / "out", origin)) == []


@pytest.mark.parametrize("name", ["README.md", "training/metrics.jsonl", "training/verdict.png"])
def test_what_could_not_be_written_later_is_refused_at_the_start(tmp_path, small, crops, name):
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(SaveError, match=rf"will write '.*{Path(name).name}'; expected a file or nothing there"):
        train(small, CONFIG, crops, tmp_path)
    (tmp_path / name).rmdir()
    list(train(small, CONFIG, crops, tmp_path))


def test_only_our_own_scratch_is_removed(tmp_path, small, crops):
    folder = tmp_path / "training"
    (folder / ".git").mkdir(parents=True)
    kept = [".env", ".state-of-mind", ".checkpoint.tar", ".report.html.swp", ".git/config"]
    left = [".state-00000002.ab12_xyz", ".report.html.abcdefgh", ".verdict-a b.png.abcdefgh", "..checkpoint.abcdefgh"]
    for name in kept + left:
        (folder / name).write_text("x")
    other = CONFIG.model_copy(update={"seed": 1})
    list(train(small, CONFIG, crops, tmp_path))
    with pytest.raises(ResumeError, match=r"training\.seed was 0, is 1"):
        train(small, other, crops, tmp_path)
    assert all((folder / name).exists() for name in kept)
    assert not any((folder / name).exists() for name in left)


def test_two_trainings_in_one_folder_are_refused(tmp_path, small, crops):
    first = train(small, CONFIG, crops, tmp_path)
    next(first)
    with pytest.raises(InUseError, match=rf"in use by another training \(process {os.getpid()} on "):
        train(small, CONFIG, crops, tmp_path)
    assert next(first).step == 2
    first.close()
    assert list(train(small, CONFIG, crops, tmp_path)) == []


def test_a_training_that_was_refused_holds_nothing(tmp_path, small, crops):
    list(train(small, CONFIG, crops, tmp_path))
    with pytest.raises(ResumeError) as held:
        train(small, CONFIG.model_copy(update={"seed": 1}), crops, tmp_path)
    assert list(train(small, CONFIG, crops, tmp_path)) == []
    assert held


def test_asked_to_stop_it_saves_where_it_is_and_ends_in_the_same_bits(tmp_path, small, crops):
    config = CONFIG.model_copy(update={"steps": 4, "save_every": 100})
    list(train(small, config, crops, tmp_path / "whole"))
    asked = iter([False, True])
    steps = list(train(small, config, crops, tmp_path / "parts", stop=lambda: next(asked)))
    assert [step.step for step in steps] == [1, 2]
    assert steps[-1].saved
    assert [step.step for step in train(small, config, crops, tmp_path / "parts")] == [3, 4]
    shutil.rmtree(tmp_path / "parts/training/state-00000002")  # which the whole run had no cause to save
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_a_choice_of_precision_is_kept_and_told(tmp_path, small, crops, monkeypatch):
    pace = {"no": 1.0, "bf16": 2.0}
    monkeypatch.setattr("dmix_models.trainer.images_per_second", lambda *_: pace)
    auto = CONFIG.model_copy(update={"mixed_precision": "auto"})
    (first,) = islice(train(small, auto, crops, tmp_path), 1)
    assert first.notes[0].startswith("mixed precision: bf16 (1 images/s in float32, 2 in bfloat16")
    pace["bf16"] = 0.1
    (second,) = train(small, auto, crops, tmp_path)
    assert second.notes == ()
    card = (tmp_path / "README.md").read_text()
    assert "mixed_precision: bf16 (1 images/s in float32, 2 in bfloat16" in card
    assert f"threads: {torch.get_num_threads()}" in card
    with pytest.raises(ResumeError, match=r"training\.mixed_precision was bf16, is no"):
        train(small, CONFIG, crops, tmp_path)


def test_another_number_of_threads_is_told(tmp_path, small, crops, monkeypatch, caplog):
    list(islice(train(small, CONFIG, crops, tmp_path), 1))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    list(train(small, CONFIG, crops, tmp_path))
    assert "will not be those of an uninterrupted training: threads" in caplog.text


# ---- killed -----------------------------------------------------------------------------------------------------


def outcome(out):
    """All that a finished training has written, but for its pace."""
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    page = files.pop("training/report.html").read_text()
    lines = map(json.loads, files.pop("training/metrics.jsonl").read_text().splitlines())
    files.pop("training/lock", None)
    pace = ("images_per_second", "eta")
    rest = {name: path.read_bytes() for name, path in files.items()}
    rest["page"] = page[page.index("<h2>Is it ready") : page.index("<h2>The checkpoint")]
    return rest | {"metrics": [{key: line[key] for key in line if key not in pace} for line in lines]}


def test_wherever_the_end_of_a_training_is_cut_off_the_next_start_makes_up_for_it(
    tmp_path, small, crops, monkeypatch, killed_at
):
    monkeypatch.setattr(checkpoint, "check_sum", lambda _: "")
    monkeypatch.setattr(closing, "CROPS", 8)
    list(islice(train(small, CONFIG, crops, tmp_path / "begun"), 1))
    shutil.copytree(tmp_path / "begun", tmp_path / "whole")
    with killed_at(None) as operations:
        list(train(small, CONFIG, crops, tmp_path / "whole"))
    expected = outcome(tmp_path / "whole")
    assert {"training/preview-00000002.png", "training/memorisation.json", "training/finished.json"} < set(expected)
    assert len(expected["metrics"]) == 1
    assert len(operations) > 60
    for number, change in enumerate(operations, 1):
        if change not in ("replace", "rename", "unlink") and "DMIX_FUZZ" not in os.environ:
            continue  # between those only files under temporary names differ
        out = tmp_path / "cut-off"
        shutil.copytree(tmp_path / "begun", out)
        with killed_at(number):
            list(train(small, CONFIG, crops, out))
        list(train(small, CONFIG, crops, out))
        assert outcome(out) == expected, f"killed at {number}: {operations[number - 1]}"
        shutil.rmtree(out)
