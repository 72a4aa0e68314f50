"""Training: it learns, it resumes to the bit, and it stops with an explanation."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import dmix_models.trainer as trainer
from dmix_models.checkpoint import load
from dmix_models.data.crops import ObjectCrops
from dmix_models.data.readers import Picture
from dmix_models.presets import preset_model
from dmix_models.resume import ResumeError
from dmix_models.trainer import (
    Origin,
    TrainConfig,
    TrainingError,
    learning_rate,
    train,
    train_background,
    train_object,
)


def discs(count=4):
    """Grey pictures of a bright disc on a dark ground, with its mask."""
    y, x = np.mgrid[:32, :32]
    for number in range(count):
        disc = (y - 14 - number) ** 2 + (x - 16) ** 2 < 16
        image = (60 + 140 * disc + number).astype(np.uint8)
        yield image, (255 * disc).astype(np.uint8)


@pytest.fixture
def crops():
    return ObjectCrops(
        [Picture(Path(f"{n}.png"), image[..., None], mask) for n, (image, mask) in enumerate(discs())], (16, 16)
    )


@pytest.fixture
def settings():
    cadence = {"save_every": 3, "preview_every": 100, "preview_samples": 2, "preview_steps": 2, "log_every": 2}
    return TrainConfig(steps=6, batch_size=4, learning_rate=1e-3, warmup=2, augment={"flips": "both"}, **cadence)


@pytest.fixture
def model(tiny):
    return tiny.model_copy(update={"unet": tiny.unet.model_copy(update={"dropout": 0.1})})


def losses(steps):
    return [(step.step, step.loss, step.grad_norm) for step in steps]


def weights(out):
    return load_file(out / "model.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


# ---- resuming -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path, model, crops, settings, precision):
    settings = settings.model_copy(update={"mixed_precision": precision, "accumulate": 2})
    whole = losses(train(model, settings, crops, tmp_path / "whole"))
    before = losses(islice(train(model, settings, crops, tmp_path / "parts"), 4))  # saved at 3, lost at 4
    after = losses(train(model, settings, crops, tmp_path / "parts"))
    assert before == whole[:4]
    assert after == whole[3:]
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    assert list(train(model, settings, crops, tmp_path / "parts")) == []


def test_metrics_have_each_step_once_after_an_interruption(tmp_path, model, crops, settings):
    list(islice(train(model, settings, crops, tmp_path), 5))
    metrics = tmp_path / "training" / "metrics.jsonl"
    with metrics.open("a") as file:
        file.write('{"step": 5, "lo')  # killed while writing
    list(train(model, settings, crops, tmp_path))
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert {"loss", "image_loss", "mask_loss", "learning_rate", "grad_norm", "images_per_second", "eta"} < set(lines[0])


def test_a_run_that_is_killed_between_checkpoint_and_state_does_its_steps_again(
    tmp_path, model, crops, settings, monkeypatch
):
    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    whole = losses(train(model, settings, crops, tmp_path / "whole"))
    steps = train(model, settings, crops, tmp_path / "parts")
    before = losses(islice(steps, 5))
    monkeypatch.setattr(trainer, "write_state", kill)
    with pytest.raises(Killed):
        next(steps)
    monkeypatch.undo()
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))  # that of step 6, without its state
    assert before + losses(train(model, settings, crops, tmp_path / "parts"))[2:] == whole
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_a_damaged_state_is_passed_over(tmp_path, model, crops, settings):
    list(train(model, settings, crops, tmp_path))
    newest = tmp_path / "training" / "state-00000006" / "optimizer.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    assert [step.step for step in train(model, settings, crops, tmp_path)] == [4, 5, 6]


def test_other_settings_or_pictures_do_not_resume(tmp_path, model, crops, settings):
    list(islice(train(model, settings, crops, tmp_path), 3))
    with pytest.raises(ResumeError, match=r"training\.seed was 0, is 1"):
        train(model, settings.model_copy(update={"seed": 1}), crops, tmp_path)
    crops.pictures[0].pixels[0, 0] ^= 1
    with pytest.raises(ResumeError, match="data was"):
        train(model, settings, crops, tmp_path)


def test_a_run_of_constant_rate_can_be_prolonged(tmp_path, model, crops, settings):
    settings = settings.model_copy(update={"decay": "none"})
    list(train(model, settings, crops, tmp_path))
    longer = settings.model_copy(update={"steps": 8, "save_every": 50})
    assert [step.step for step in train(model, longer, crops, tmp_path)] == [7, 8]


# ---- learning -----------------------------------------------------------------------------------------------------


def test_the_loss_falls_on_a_few_pictures(tmp_path, tiny, crops, settings):
    settings = settings.model_copy(update={"steps": 40, "batch_size": 8, "learning_rate": 4e-3, "save_every": 50})
    steps = list(train(tiny, settings, crops, tmp_path))
    first, last = ([step.image_loss for step in part] for part in (steps[:5], steps[-5:]))
    assert sum(last) < 0.6 * sum(first)
    assert steps[-1].mask_loss < 0.6 * steps[0].mask_loss


def test_parts_of_a_batch_give_the_gradient_of_the_whole(tmp_path, tiny, crops, settings):
    one = next(train(tiny, settings, crops, tmp_path / "one"))
    two = next(train(tiny, settings.model_copy(update={"accumulate": 2}), crops, tmp_path / "two"))
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    assert two.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)


def test_two_processes_learn_what_one_does(tmp_path, tiny, settings):
    folder, script = tmp_path / "discs", tmp_path / "script.py"
    write(folder)
    script.write_text(
        "import json, sys\n"
        "from dmix_models.trainer import TrainConfig, train_object\n"
        "config = TrainConfig.model_validate_json(sys.argv[3])\n"
        "steps = train_object(sys.argv[1], sys.argv[2], config, size=(16, 16))\n"
        "losses = [step.loss for step in steps]\n"
        "open(f'{sys.argv[2]}/losses-{len(losses)}.json', 'w').write(json.dumps(losses))\n"
    )
    settings = settings.model_copy(update={"steps": 2})
    arguments = [str(script), str(folder), str(tmp_path / "out"), settings.model_dump_json()]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = [step.loss for step in train_object(folder, tmp_path / "alone", settings, size=(16, 16))]
    assert json.loads((tmp_path / "out/losses-2.json").read_text()) == pytest.approx(expected, rel=1e-4)
    together, alone = weights(tmp_path / "out"), weights(tmp_path / "alone")
    assert all(torch.allclose(together[key], alone[key], atol=1e-4) for key in alone)


def test_the_rate_rises_then_falls_to_zero():
    config = TrainConfig(steps=100, learning_rate=1.0, warmup=10)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == 0.1
    assert max(rates) == rates[9] > 0.97
    assert rates[-1] < 0.001
    constant = config.model_copy(update={"decay": "none"})
    assert learning_rate(constant, 99) == 1


# ---- what is written ----------------------------------------------------------------------------------------------


def write(folder):
    folder.mkdir()
    for number, (image, mask) in enumerate(discs()):
        Image.fromarray(image).save(folder / f"{number}.jpg", quality=95)
        Image.fromarray(mask).save(folder / f"{number}.png")


def test_a_folder_becomes_an_object_model(tmp_path, settings):
    write(tmp_path / "discs")
    origin = Origin(command="dmix train object discs", licence="CC0")
    *_, last = train_object(tmp_path / "discs", tmp_path / "disc", settings, size=(16, 16), origin=origin)
    assert last.saved == tmp_path / "disc"
    with Image.open(last.preview) as sheet:
        assert sheet.mode == "RGB"
    denoiser = load(tmp_path / "disc")
    assert (denoiser.config.name, denoiser.config.role, denoiser.config.grey) == ("disc", "object", True)
    assert denoiser.spec == ((16, 16), 3, 1)
    card = (tmp_path / "disc/README.md").read_text()
    for words in ("data: discs", "training steps: 6", "items: 4", "flips: both", "dmix train object discs", "CC0"):
        assert words in card


def test_a_folder_becomes_a_background_model(tmp_path, settings):
    write(tmp_path / "discs")
    steps = list(
        train_background(tmp_path / "discs", tmp_path / "ground", settings, size=(16, 16), variance="fixed-small")
    )
    assert steps[-1].mask_loss is None
    assert load(tmp_path / "ground").spec == ((16, 16), 3, 0)


def test_a_model_is_called_like_its_folder_whatever_was_given(tmp_path, settings, monkeypatch):
    write(tmp_path / "discs")
    (tmp_path / "ground").mkdir()
    monkeypatch.chdir(tmp_path / "ground")
    next(train_background("../discs", ".", settings.model_copy(update={"save_every": 1}), size=(16, 16)))
    assert load(tmp_path / "ground").config.name == "ground"


def test_the_checkpoint_is_the_average_of_the_weights(tmp_path, tiny, crops, settings):
    list(train(tiny, settings, crops, tmp_path))
    state = tmp_path / "training/state-00000006"
    assert same(weights(tmp_path), load_file(state / "average.safetensors"))
    assert not same(weights(tmp_path), load_file(state / "network.safetensors"))


def test_a_run_may_begin_with_the_weights_of_another_model(tmp_path, tiny, crops, settings):
    list(train(tiny, settings, crops, tmp_path / "first"))
    config = settings.model_copy(update={"init": str(tmp_path / "first"), "learning_rate": 1e-12})
    said = tiny.model_copy(update={"prediction": "v"})
    list(train(said, config, crops, tmp_path / "second"))
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert all(torch.allclose(after[key], before[key], rtol=0, atol=1e-6) for key in before)
    assert load(tmp_path / "second").config.prediction == "v"


def test_old_states_are_removed(tmp_path, tiny, crops, settings):
    list(train(tiny, settings.model_copy(update={"save_every": 1, "keep": 2}), crops, tmp_path))
    assert sorted(path.name for path in (tmp_path / "training").glob("*state*")) == ["state-00000005", "state-00000006"]


@pytest.mark.parametrize("preset", ["tiny", "small"])
@pytest.mark.parametrize("size", [(32, 32), (64, 64), (64, 128)])
def test_presets_fit_any_usual_size(crops, preset, size):
    crops.size = size
    model = preset_model("object", crops, "x", preset)
    assert model.size == size
    assert model.unet.out_channels == 8


# ---- refusals -----------------------------------------------------------------------------------------------------


def test_a_diverged_training_names_its_last_good_checkpoint(tmp_path, tiny, crops, settings, monkeypatch):
    real = trainer.hybrid_loss

    def broken(*arguments):
        loss = real(*arguments)
        return loss._replace(total=loss.total * float("nan")) if reached == [4] else loss

    reached = []
    monkeypatch.setattr(trainer, "hybrid_loss", broken)
    steps = train(tiny, settings, crops, tmp_path)
    for _ in range(4):
        reached = [next(steps).step]
    with pytest.raises(TrainingError, match=r"diverged at step 5: loss nan.*checkpoint of step 3.*lower learning_rate"):
        next(steps)
    assert load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 5, "accumulate": 2}, "batch_size is 5; expected a multiple of 1 processes x 2 parts"),
        ({"preview_steps": 1001}, "preview_steps is 1001; the model's noise has 1000 steps"),
        ({"steps": 0}, "greater than 0"),
        ({"stepz": 9}, "stepz"),
    ],
)
def test_bad_settings_are_refused_before_a_file_is_written(tmp_path, tiny, crops, settings, changes, message):
    with pytest.raises((TrainingError, ValueError), match=message):
        train(tiny, TrainConfig(**(settings.model_dump() | changes)), crops, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_crops_of_another_size_are_refused(tmp_path, tiny, crops, settings):
    with pytest.raises(
        TrainingError, match=r"crops are .* = \(16, 16, 3, 1\); the model 'tiny' expects \(32, 32, 3, 1\)"
    ):
        train(tiny.model_copy(update={"size": (32, 32)}), settings, crops, tmp_path)


def test_an_output_folder_that_cannot_be_is_refused(tmp_path, tiny, crops, settings):
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="Cannot write to the output folder"):
        train(tiny, settings, crops, tmp_path / "file")
