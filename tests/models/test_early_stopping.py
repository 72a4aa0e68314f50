"""Early stopping: the loss on groups that are not learned from, copies, and the checkpoint that stays."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dmix_data.datasets import NONE, ObjectCrops, Pairs
from dmix_data.layouts import Record
from dmix_data.loader import Picture
from dmix_models.early_stopping import EarlyStopping, Measurement, best, divided, read_measurements
from dmix_models.trainer import TrainConfig, TrainingError, train


@pytest.fixture
def crops():
    """Of a disc in each of six pictures, two of a tile; tiles have classes in turn."""
    y, x = np.mgrid[:32, :32]
    pictures = []
    for number in range(6):
        disc = (y - 14 - number // 2) ** 2 + (x - 16) ** 2 < 16
        image, tile = (60 + 140 * disc + number).astype(np.uint8)[..., None], number // 2
        path, class_name = Path(f"{number}.png"), ("crack", "hole")[tile % 2]
        mask, source = (255 * disc).astype(np.uint8), Record(path, group=str(tile))
        pictures.append(Picture(path, image, mask, class_name=class_name, source=source))
    return ObjectCrops(pictures, (16, 16))


def settings(**changes):
    cadence = {"save_every": 2, "preview_every": 100, "preview_samples": 1, "preview_steps": 1, "log_every": 1}
    cadence |= {"mixed_precision": "no", "verdict_samples": 2, "memorisation_samples": 0, "decay": "none"}
    return TrainConfig(**{"steps": 12, "batch_size": 4, "warmup": 2, "hold_out": 0.4} | cadence | changes)


def weights(out):
    return load_file(out / "model.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def groups(crops):
    return {crops.place(item).group for item in range(len(crops))}


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_both_learned_from_and_held_out(crops, seed):
    learned, held = divided(crops, 0.1, seed)
    assert not groups(learned) & groups(held)
    assert len(groups(held)) == 1
    assert len(learned) + len(held) == len(crops)
    assert [*learned.class_names, *held.class_names].count("hole") == 2


@pytest.mark.parametrize("seed", range(5))
def test_windows_without_an_object_are_held_out_with_their_objects(crops, seed):
    pairs = Pairs(ObjectCrops(crops.pictures, (10, 10)))
    learned, held = divided(pairs, 0.1, seed)
    assert not groups(learned) & groups(held)
    assert [each.class_names.count(NONE) for each in (learned, held)] == [len(learned) / 2, len(held) / 2] == [4, 2]


def test_nothing_is_held_out_unless_stated(crops):
    assert divided(crops, 0, 0) == (crops, None)


def test_a_share_that_leaves_nothing_to_learn_from_is_refused(crops):
    with pytest.raises(TrainingError, match=r"hold_out is 0\.9 of 3 groups"):
        divided(crops, 0.9, 0)


def test_no_class_of_the_model_is_held_out_as_a_whole(crops):
    seeds = [seed for seed in range(20) if groups(divided(crops, 0.3, seed)[1]) == {"1"}]  # the only tile of holes
    assert 0 < len(seeds) < 20
    with pytest.raises(TrainingError, match="no crop of hole to learn from"):
        divided(crops, 0.3, seeds[0], ("crack", "hole"))


def losses(**by_step):
    return {int(step[1:]): Measurement(loss=loss) for step, loss in by_step.items()}


def test_patience_counts_measurements_since_the_lowest(tmp_path):
    early = EarlyStopping(tmp_path, patience=2, done=0)
    assert (early.best, early.enough) == (None, False)
    for step, measured in losses(_10=0.5, _20=0.4, _30=0.4).items():
        early.add(step, measured)
    assert (early.best, early.enough) == (20, False)
    early.add(40, Measurement(loss=0.6))
    assert (early.best, early.enough) == (20, True)
    early.write()
    assert EarlyStopping(tmp_path, patience=2, done=30).found == losses(_10=0.5, _20=0.4, _30=0.4)
    assert not EarlyStopping(tmp_path, patience=0, done=40).enough


@pytest.mark.parametrize(
    ("found", "stays"),
    [
        ({}, None),
        ({10: Measurement()}, 10),
        ({10: Measurement(), 20: Measurement()}, 20),
        ({10: Measurement(), 20: Measurement(), 30: Measurement(copies=True)}, 20),
        ({10: Measurement(copies=True)}, 10),
        ({10: Measurement(loss=0.4), 20: Measurement(loss=0.5), 30: Measurement(loss=0.3, copies=True)}, 10),
    ],
)
def test_the_best_checkpoint_does_not_copy_where_there_is_such_a_one(found, stays):
    assert best(found) == stays


def test_patience_wants_something_held_out(tmp_path, tiny, crops):
    with pytest.raises(TrainingError, match="expected a share of groups as hold_out"):
        next(train(tiny, settings(hold_out=0.0, patience=1), crops, tmp_path))


def test_a_loss_that_falls_no_more_ends_a_training_and_the_best_weights_stay(tmp_path, tiny, crops):
    """At such a rate the model gets worse from its first measurement on."""
    diverging = settings(learning_rate=0.05, patience=2)
    steps = list(train(tiny, diverging, crops, tmp_path / "stopped"))
    found = read_measurements(tmp_path / "stopped/training")
    assert [each.loss for each in found.values()] == [step.held_out for step in steps if step.held_out is not None]
    assert steps[-1].step == best(found) + 4 < 12
    list(train(tiny, diverging.model_copy(update={"steps": best(found)}), crops, tmp_path / "short"))
    assert same(weights(tmp_path / "stopped"), weights(tmp_path / "short"))
    assert f"- training steps: {best(found)}\n" in (tmp_path / "stopped/README.md").read_text()
    assert list(train(tiny, diverging, crops, tmp_path / "stopped")) == []  # it is finished


def test_an_interrupted_run_ends_at_the_same_step_in_the_same_bits(tmp_path, tiny, crops):
    diverging = settings(learning_rate=0.05, patience=2)
    whole = [(step.step, step.loss, step.held_out) for step in train(tiny, diverging, crops, tmp_path / "whole")]
    begun = train(tiny, diverging, crops, tmp_path / "parts")
    before = [(step.step, step.loss, step.held_out) for step in islice(begun, 5)]
    begun.close()
    after = [(step.step, step.loss, step.held_out) for step in train(tiny, diverging, crops, tmp_path / "parts")]
    assert before == whole[:5]
    assert after == whole[4:]
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    assert read_measurements(tmp_path / "parts/training") == read_measurements(tmp_path / "whole/training")


def copying(monkeypatch, step):
    """Samples repeat training crops from this step on; gives the steps at which that was looked for."""
    looked = []

    def copies(training, denoiser):
        looked.append(training.done)
        return training.done >= step

    monkeypatch.setattr("dmix_models.trainer.Training._copies", copies)
    return looked


def test_copies_end_a_training_and_the_checkpoint_before_them_stays(tmp_path, tiny, crops, monkeypatch):
    looked = copying(monkeypatch, 6)
    watching = settings(hold_out=0.0, stop_at_copies=True)
    begun = train(tiny, watching, crops, tmp_path / "stopped")
    list(islice(begun, 5))
    begun.close()
    assert list(train(tiny, watching, crops, tmp_path / "stopped"))[-1].step == 6
    assert looked == [2, 4, 6]
    list(train(tiny, settings(hold_out=0.0, steps=4), crops, tmp_path / "short"))
    assert same(weights(tmp_path / "stopped"), weights(tmp_path / "short"))
    assert "- training steps: 4\n" in (tmp_path / "stopped/README.md").read_text()
    assert list(train(tiny, watching, crops, tmp_path / "stopped")) == []  # it is finished


def test_samples_are_compared_with_the_crops_that_are_learned_from(tmp_path, tiny, crops):
    """A model that has hardly learned repeats nothing, and the note tells how many samples say so."""
    steps = list(train(tiny, settings(hold_out=0.0, steps=2, stop_at_copies=True), crops, tmp_path))
    (note,) = [note for step in steps for note in step.notes if "memorisation" in note]
    assert note.startswith("memorisation at step 2: No sign of copying: 0 of 32 samples")


def test_copies_cannot_be_told_from_two_groups(tmp_path, tiny, crops):
    with pytest.raises(TrainingError, match=r"stop_at_copies has nothing to compare.*Expected at least 3"):
        next(train(tiny, settings(stop_at_copies=True), crops, tmp_path))
