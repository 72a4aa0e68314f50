"""A training that was killed, or that found the disk full, goes on as if nothing had happened."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dmix_core.errors import WriteError
from dmix_models import UNet, checkpoint
from dmix_models.resume import SaveError, State, clear_scratch, newest_state, remove_states, write_state
from dmix_models.trainer import TrainConfig, place_checkpoint
from dmix_models.training_setup import train_object

SIZE = (16, 16)


@pytest.fixture
def discs(tmp_path):
    """A folder with pictures of a bright disc on a dark ground and their masks."""
    folder = tmp_path / "discs"
    folder.mkdir()
    y, x = np.mgrid[:32, :32]
    for number in range(4):
        disc = (y - 14 - number) ** 2 + (x - 16) ** 2 < 16
        Image.fromarray((60 + 140 * disc + number).astype(np.uint8)).save(folder / f"{number}.jpg", quality=95)
        Image.fromarray((255 * disc).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def settings(**changes):
    cadence = {"save_every": 2, "preview_every": 100, "preview_samples": 1, "preview_steps": 1, "log_every": 1}
    cadence |= {"mixed_precision": "no", "verdict_samples": 3, "memorisation_samples": 3}
    return TrainConfig(**{"steps": 6, "batch_size": 2, "warmup": 2, "augment": {"flips": "both"}} | cadence | changes)


def weights(out):
    return load_file(out / "model.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def losses(out):
    lines = map(json.loads, (out / "training/metrics.jsonl").read_text().splitlines())
    return [{key: line[key] for key in ("step", "loss", "mask_loss", "quarters", "grad_norm")} for line in lines]


def scratch(out):
    return [path.name for path in out.rglob(".*")]


# ---- killed -----------------------------------------------------------------------------------------------------


def test_a_process_that_is_killed_while_it_writes_a_state_leaves_nothing_half_done(tmp_path, discs):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = settings(steps=8, save_every=1)
    list(train_object(discs, whole, config, size=SIZE))
    words = "--size 16x16 --steps 8 --batch-size 2 --warmup 2 --flips both --save-every 1 --log-every 1 --quiet"
    previews = "--preview-every 100 --preview-samples 1 --preview-steps 1 --verdict-samples 3 --memorisation-samples 3"
    previews += " --mixed-precision no"
    command = [sys.executable, "-m", "dmix_cli", "train", "object", str(discs), "-o", str(parts)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums in another order end in other bits
    process = subprocess.Popen([*command, *words.split(), *previews.split()], env=os.environ | threads)
    try:
        while not (list(parts.glob("training/state-*3")) and list(parts.glob("training/.state-*/*"))):
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.0005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert any(name.startswith(".state-") for name in scratch(parts))
    assert checkpoint.load(parts)
    reached = newest_state(parts / "training").step
    assert 3 <= reached < 8
    again = [step.step for step in train_object(discs, parts, config, size=SIZE)]
    assert again == list(range(reached + 1, 9))
    assert losses(parts) == losses(whole)
    assert same(weights(parts), weights(whole))
    assert scratch(parts) == []


def save(out, model, step):
    """Write checkpoint and state of a step, all of whose weights are that number."""
    tensors = {key: torch.full_like(value, step) for key, value in UNet(model.network).state_dict().items()}
    place_checkpoint(out, model, tensors, checkpoint.ModelCard(data="x", command="x", licence="x", steps=step))
    write_state(out / "training", State(step, {"network": tensors}, {}), keep=1)


@pytest.fixture
def saved(tmp_path, tiny):
    """A folder in which step 1 was saved, and the model."""
    (tmp_path / "saved/training").mkdir(parents=True)
    unet = tiny.network.model_copy(update={"model_channels": 8, "channel_mult": (1,), "norm_groups": 4})
    model = tiny.model_copy(update={"network": unet})
    save(tmp_path / "saved", model, 1)
    return tmp_path / "saved", model


def test_wherever_saving_is_cut_off_there_is_a_checkpoint_and_a_state(tmp_path, saved, killed_at):
    before, model = saved
    shutil.copytree(before, tmp_path / "whole")
    with killed_at(None) as operations:
        save(tmp_path / "whole", model, 2)
    seen = set()
    for number in range(1, len(operations) + 1):
        out = tmp_path / f"cut-off-{number}"
        shutil.copytree(before, out)
        with killed_at(number):
            save(out, model, 2)
        assert checkpoint.load(out)
        (step,) = {value for tensor in weights(out).values() for value in tensor.unique().tolist()}
        state = newest_state(out / "training")
        assert all((tensor == state.step).all() for tensor in state.tensors["network"].values())
        seen.add((step, state.step))
        for path in (out / "training").glob("state-*"):
            assert sorted(file.name for file in path.iterdir()) == ["network.safetensors", "state.json"]
        clear_scratch(out / "training")
        remove_states(out / "training", state.step, keep=1)  # by a training that goes on, if only to end
        assert [path.name for path in (out / "training").iterdir()] == [f"state-{state.step:08d}"]
        save(out, model, 2)
        assert scratch(out) == []
        assert sorted(path.name for path in (out / "training").iterdir()) == ["state-00000002"]
    # before, between and after its two renames; where the checkpoint is newer, its last steps are done again
    assert seen == {(1, 1), (2, 1), (2, 2)}


def test_a_newer_state_that_is_damaged_does_not_take_the_place_of_one_to_go_on_from(saved):
    out, model = saved
    save(out, model, 9)
    (out / "training/state-00000009/network.safetensors").write_bytes(b"damaged")
    save(out, model, 1)
    save(out, model, 2)
    assert newest_state(out / "training").step == 2


# ---- a full disk ------------------------------------------------------------------------------------------------


@contextmanager
def largest_file(size):
    """The system refuses to write files of more bytes, as it would on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [20_000, 6_000_000], ids=["no space for a checkpoint", "no space for a state"])
def test_a_full_disk_loses_nothing_that_was_saved(tmp_path, discs, size):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    list(train_object(discs, whole, settings(), size=SIZE))
    steps = train_object(discs, parts, settings(), size=SIZE)
    list(islice(steps, 2))
    before = weights(parts)
    message = (
        r"Cannot write the files of step 4 to '.*parts': File too large.* The state of step 2 is as it was\. "
        r"A checkpoint and a training state take \d+\.\d MB, \d+\.\d MB are free: free some.* go on from step 2"
    )
    with largest_file(size), pytest.raises(SaveError, match=message):
        list(steps)
    assert scratch(parts) == []
    assert checkpoint.load(parts)
    assert same(weights(parts), before) == (size == 20_000)  # the checkpoint may be newer than the state
    assert [path.name for path in (parts / "training").glob("state-*")] == ["state-00000002"]
    assert [step.step for step in train_object(discs, parts, settings(), size=SIZE)] == [3, 4, 5, 6]
    assert losses(parts) == losses(whole)
    assert same(weights(parts), weights(whole))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_under_the_metrics_is_told_too(tmp_path, discs):
    steps = train_object(discs, tmp_path / "out", settings(save_every=100), size=SIZE)
    next(steps)
    metrics = tmp_path / "out/training/metrics.jsonl"
    metrics.unlink()
    metrics.symlink_to("/dev/full")
    with pytest.raises(SaveError, match=r"step 2 .*No space left on device.*Nothing was saved before.*from step 0"):
        next(steps)


def test_a_training_that_could_not_be_saved_does_not_begin(tmp_path, discs, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5_000_000))
    with pytest.raises(SaveError, match=r"has 5\.0 MB free; expected \d+\.\d MB for a checkpoint and 3 training"):
        train_object(discs, tmp_path / "out", settings(), size=SIZE)
    monkeypatch.undo()
    list(train_object(discs, tmp_path / "out", settings(steps=2), size=SIZE))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5_000_000))
    with pytest.raises(SaveError, match=r"for a checkpoint and 2 training states"):  # one is there
        train_object(discs, tmp_path / "out", settings(steps=2), size=SIZE)


def test_what_is_no_refusal_of_the_system_is_not_taken_for_one(tmp_path, discs, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("dmix_models.trainer.write_state", broken)
    with pytest.raises(ZeroDivisionError):
        list(train_object(discs, tmp_path / "out", settings(), size=SIZE))


def test_a_write_error_says_what_refused_it(tmp_path):
    with largest_file(10), pytest.raises(WriteError, match=r"Cannot write .*a\.txt' \(File too large\)"):
        checkpoint.write_atomically(tmp_path / "a.txt", bytes(100))
    assert list(tmp_path.iterdir()) == []


def test_a_training_of_an_earlier_version_goes_on(discs, tmp_path):
    hard = settings(mask_target="hard")
    whole = [step.loss for step in train_object(discs, tmp_path / "whole", hard, SIZE)]
    begun = train_object(discs, tmp_path / "begun", hard, SIZE)
    assert [step.loss for step in islice(begun, 4)] == whole[:4]
    begun.close()
    for record in (tmp_path / "begun/training").glob("state-*/state.json"):
        state = json.loads(record.read_text())
        model, training = state["settings"]["model"], state["settings"]["training"]
        model["unet"] = model.pop("network")
        model["format_version"] = 1
        del model["unet"]["kind"], training["mask_target"], training["augment"]["zoom"], training["augment"]["elastic"]
        record.write_text(json.dumps(state))
    assert [step.loss for step in train_object(discs, tmp_path / "begun", hard, SIZE)] == whole[4:]
