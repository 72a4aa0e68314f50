"""Training: it learns, it resumes to the bit, and it stops with an explanation."""

import json
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file

import dmix_models.trainer as trainer
from dmix_core.protocols import Spec
from dmix_data.augment import Augmentation
from dmix_data.batches import Batch, Batches
from dmix_data.datasets import ObjectCrops
from dmix_data.exceptions import DataError
from dmix_data.loader import Picture
from dmix_data.options import DataOptions
from dmix_models.checkpoint import load
from dmix_models.presets import PRESETS, preset_model
from dmix_models.resume import ResumeError
from dmix_models.trainer import (
    Origin,
    TrainConfig,
    TrainingError,
    learning_rate,
    train,
)
from dmix_models.training_setup import Architecture, train_background, train_object


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
def named_crops():
    """Like `crops`, of two classes in turn."""
    pictures = [
        Picture(Path(f"{n}.png"), image[..., None], mask, class_name=("crack", "hole")[n % 2])
        for n, (image, mask) in enumerate(discs())
    ]
    return ObjectCrops(pictures, (16, 16))


@pytest.fixture
def settings():
    cadence = {"save_every": 3, "preview_every": 100, "preview_samples": 2, "preview_steps": 2, "log_every": 2}
    cadence |= {"memorisation_samples": 0, "verdict_samples": 2, "mixed_precision": "no"}
    return TrainConfig(steps=6, batch_size=4, learning_rate=1e-3, warmup=2, augment={"flips": "both"}, **cadence)


@pytest.fixture
def model(tiny):
    return tiny.model_copy(update={"network": tiny.network.model_copy(update={"dropout": 0.1})})


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
    assert len(lines[0]["quarters"]) == 4


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


def test_every_other_setting_is_named(tmp_path, model, crops, settings):
    list(islice(train(model, settings, crops, tmp_path), 3))
    changes = {"seed": 1, "batch_size": 2, "grad_clip": 0.5, "warmup": 3, "augment": Augmentation(gain=(0.5, 2))}
    other = model.model_copy(update={"prediction": "v"})
    with pytest.raises(ResumeError) as refused:
        train(other, settings.model_copy(update=changes), crops, tmp_path)
    assert str(refused.value).splitlines()[1:-1] == [
        "  model.prediction was epsilon, is v",
        "  training.batch_size was 4, is 2",
        "  training.warmup was 2, is 3",
        "  training.grad_clip was 1.0, is 0.5",
        "  training.augment.flips was both, is none",
        "  training.augment.gain was None, is [0.5, 2.0]",
        "  training.seed was 0, is 1",
    ]


def test_what_happened_to_the_pictures_is_told(tmp_path, settings):
    folder, out = tmp_path / "discs", tmp_path / "out"
    write(folder)
    small = {"size": (16, 16), "data": DataOptions(min_area=20)}
    next(train_object(folder, out, settings.model_copy(update={"save_every": 1}), **small))
    Image.fromarray(next(discs())[0] + 1).save(folder / "0.jpg", quality=95)
    for suffix in ("jpg", "png"):
        (folder / f"1.{suffix}").rename(folder / f"new.{suffix}")
        (folder / f"2.{suffix}").unlink()
    for number, (image, mask) in enumerate(discs(10)):
        if number > 3:
            Image.fromarray(image).save(folder / f"{number}.jpg", quality=95)
            Image.fromarray(mask).save(folder / f"{number}.png")
    with pytest.raises(ResumeError) as refused:
        train_object(folder, out, settings, **small | {"data": DataOptions(min_area=21)})
    assert str(refused.value).splitlines()[1:-1] == [
        "  data.min_area was 20, is 21",
        "  data.items was 4, is 9",
        "  6 pictures added: 4.jpg, 5.jpg, 6.jpg, 7.jpg, 8.jpg, ...",
        "  1 pictures removed: 2.jpg",
        "  1 pictures renamed: 1.jpg",
        "  1 pictures changed: 0.jpg",
    ]


def test_a_folder_that_was_moved_is_the_same(tmp_path, settings, monkeypatch):
    write(tmp_path / "discs")
    next(train_object(tmp_path / "discs", tmp_path / "out", settings.model_copy(update={"save_every": 1})))
    (tmp_path / "discs").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert next(train_object("moved", "out", settings)).step == 2


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


def test_a_compiled_network_learns_the_same(tmp_path, tiny, crops, settings, monkeypatch):
    # the graph is traced as for any backend; building it in C++ would take a minute
    monkeypatch.setattr(trainer.torch, "compile", partial(torch.compile, backend="eager", fullgraph=True))
    settings = settings.model_copy(update={"steps": 3})
    plain = losses(train(tiny, settings, crops, tmp_path / "plain"))
    compiled = losses(train(tiny, settings.model_copy(update={"compile": True}), crops, tmp_path / "compiled"))
    assert compiled == [pytest.approx(line, rel=1e-4) for line in plain]
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "plain").keys()


def test_the_quarters_add_up_to_the_loss(tmp_path, tiny, crops, settings):
    plain = tiny.model_copy(
        update={"variance": "fixed-small", "network": tiny.network.model_copy(update={"out_channels": 4})}
    )
    for step in islice(train(plain, settings, crops, tmp_path), 3):
        assert sum(step.quarters.counts) == settings.batch_size
        assert sum(step.quarters.sums) / settings.batch_size == pytest.approx(step.loss, rel=1e-5)


def test_quarters_count_the_levels_from_the_clean_end(tmp_path, tiny, crops, settings, monkeypatch):
    steps = tiny.noise.steps
    monkeypatch.setattr(
        trainer.Batches,
        "__call__",
        lambda self, step, rows=None: Batch(
            torch.zeros(4, 4, 16, 16),
            torch.zeros(4, 4, 16, 16),
            torch.tensor([1, steps // 4, steps // 4 + 1, steps]),
            torch.zeros(4, dtype=torch.int64),
        ),
    )
    step = next(train(tiny, settings, crops, tmp_path))
    assert step.quarters.counts == (2, 1, 0, 1)
    assert step.quarters.means[2] is None


def test_each_item_comes_once_in_an_epoch_with_its_own_label(named_crops):
    batches = Batches(named_crops, Augmentation(), 1000, 2, seed=3, classes=("crack", "hole"))
    seen = [batches(step) for step in range(2)]
    crops_seen = torch.cat([batch.clean for batch in seen])
    labels = torch.cat([batch.labels for batch in seen])
    grounds = [round(float((crop[0].amin() + 1) * 127.5)) - 60 for crop in crops_seen]
    assert sorted(grounds) == [0, 1, 2, 3]
    assert labels.tolist() == [ground % 2 for ground in grounds]


def test_a_class_is_left_untold_as_often_as_was_asked(named_crops):
    batches = Batches(
        named_crops, Augmentation(), 1000, 400, seed=3, classes=("crack", "hole", "any"), label_dropout=0.2
    )
    labels = batches(0).labels
    assert labels.bincount()[2] / 400 == pytest.approx(0.2, abs=0.06)
    assert torch.equal(labels, batches(0).labels)
    assert torch.equal(batches(0, range(7, 9)).labels, labels[7:9])


def test_a_crop_of_no_such_class_is_refused(tmp_path, tiny, crops, named_crops, settings):
    unet = tiny.network.model_copy(update={"num_classes": 2})
    model = tiny.model_copy(update={"classes": ("crack", "dent"), "network": unet})
    with pytest.raises(DataError, match=r"2 of 4 crops show 'hole'; expected .* crack, dent"):
        train(model, settings, named_crops, tmp_path)
    with pytest.raises(DataError, match="4 of 4 crops show 'no named class'"):
        train(model, settings, crops, tmp_path)


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
    assert denoiser.spec == Spec((16, 16), 3, 1, grey=True)
    card = (tmp_path / "disc/README.md").read_text()
    for words in ("data: discs", "training steps: 6", "items: 4", "flips: both", "dmix train object discs", "CC0"):
        assert words in card


def write_classes(folder):
    """A folder for each of two classes, as Magnetic Tile Defect has them."""
    for number, (image, mask) in enumerate(discs()):
        images = folder / ("MT_Crack", "MT_Hole")[number % 2] / "Imgs"
        images.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(images / f"exp1_num_{1000 * number}.jpg", quality=95)
        Image.fromarray(mask).save(images / f"exp1_num_{1000 * number}.png")


def test_classes_become_one_model_that_paints_the_one_asked_for(tmp_path, settings):
    write_classes(tmp_path / "defects")
    settings = settings.model_copy(update={"preview_every": 6})
    steps = train_object(
        tmp_path / "defects", tmp_path / "out", settings, size=(16, 16), data=DataOptions(classes=("crack", "hole"))
    )
    *_, last = steps
    denoiser = load(tmp_path / "out")
    assert denoiser.config.classes == ("crack", "hole", "any")
    x = torch.randn(1, 4, 16, 16)
    crack, hole = (denoiser.with_label(name)(x, 500).clean for name in ("crack", "hole"))
    assert not torch.equal(crack, hole)
    with Image.open(last.preview) as sheet:
        assert sheet.width > sheet.height  # two samples of each class in a row, each beside its mask


@pytest.mark.parametrize(("classes", "known"), [(["hole"], 2), (None, 4)])
def test_one_class_or_none_asked_for_becomes_a_plain_model(tmp_path, settings, classes, known):
    write_classes(tmp_path / "defects")
    next(
        train_object(
            tmp_path / "defects",
            tmp_path / "out",
            settings.model_copy(update={"save_every": 1}),
            size=(16, 16),
            data=DataOptions(classes=classes),
        )
    )
    assert load(tmp_path / "out").config.classes == ()
    assert f"items: {known}" in (tmp_path / "out/README.md").read_text()


def test_without_dropout_no_class_is_added(tmp_path, settings):
    write_classes(tmp_path / "defects")
    settings = settings.model_copy(update={"save_every": 1, "label_dropout": 0.0})
    next(
        train_object(
            tmp_path / "defects", tmp_path / "out", settings, size=(16, 16), data=DataOptions(classes=("hole", "crack"))
        )
    )
    assert load(tmp_path / "out").config.classes == ("hole", "crack")


def test_a_preset_and_a_model_to_begin_with_exclude_each_other(tmp_path, settings):
    write(tmp_path / "discs")
    settings = settings.model_copy(update={"init": "tiles"})
    with pytest.raises(TrainingError, match="as preset 'small' and by init 'tiles'; expected one"):
        train_object(
            tmp_path / "discs", tmp_path / "out", settings, size=(16, 16), architecture=Architecture(preset="small")
        )


def test_a_folder_becomes_a_model_like_the_one_to_begin_with(tmp_path, settings):
    write(tmp_path / "discs")
    settings = settings.model_copy(update={"init": "tiles", "save_every": 1})
    next(train_object(tmp_path / "discs", tmp_path / "out", settings, size=(16, 16)))
    assert load(tmp_path / "out").config.prediction == load("tiles").config.prediction == "v"


def test_a_folder_becomes_a_background_model(tmp_path, settings):
    write(tmp_path / "discs")
    steps = list(
        train_background(
            tmp_path / "discs",
            tmp_path / "ground",
            settings,
            size=(16, 16),
            architecture=Architecture(variance="fixed-small"),
        )
    )
    assert steps[-1].mask_loss is None
    assert load(tmp_path / "ground").spec == Spec((16, 16), 3, 0, grey=True)


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
    other = tiny.model_copy(update={"prediction": "v"})
    list(train(other, config, crops, tmp_path / "second"))
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert all(torch.allclose(after[key], before[key], rtol=0, atol=1e-6) for key in before)
    assert load(tmp_path / "second").config.prediction == "v"


def test_old_states_are_removed(tmp_path, tiny, crops, settings):
    list(train(tiny, settings.model_copy(update={"save_every": 1, "keep": 2}), crops, tmp_path))
    assert sorted(path.name for path in (tmp_path / "training").glob("*state*")) == ["state-00000005", "state-00000006"]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(32, 32), (64, 64), (64, 128)])
def test_presets_fit_any_usual_size(crops, preset, size):
    crops.size = size
    model = preset_model("object", crops, "x", preset)
    assert model.size == size
    assert model.network.out_channels == 8


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
        ({"steps": 0}, "greater than or equal to 1"),
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


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "grad_clip", "mask_loss_weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_setting_takes_nan_or_infinity(name, value):
    with pytest.raises(ValidationError, match=name):
        TrainConfig(**{"steps": 1, name: value})
