"""From a folder of pictures to a model: what is learned from, by which network, and the training of it."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import NamedTuple, ParamSpec

from torch import Tensor

from dmix_core.noise import PredictionType
from dmix_core.protocols import Size

from .config import ModelConfig, Role, Variance
from .data.augment import Augmentation
from .data.batches import ANY, Batches
from .data.crops import Crops, ObjectCrops, Windows
from .data.readers import OnError, Part, check_classes, read_images, read_pairs
from .denoiser import UNetDenoiser
from .metrics import TrainStep
from .presets import Preset, preset_model
from .trainer import UNSTATED, Origin, TrainConfig, TrainingError, train
from .transfer import like


class Plan(NamedTuple):
    """A training that may begin; the arguments of `train`."""

    model: ModelConfig
    config: TrainConfig
    crops: Crops
    out: Path
    origin: Origin


def plan_background(
    folder: str | Path,
    out: str | Path,
    config: TrainConfig,
    *,
    size: Size = (64, 64),
    layout: str | None = None,
    split: Part | None = None,
    every: int = 1,
    on_error: OnError = "fail",
    scale: float = 1.0,
    skip_small: bool = False,
    preset: Preset | None = None,
    variance: Variance | None = None,
    prediction: PredictionType | None = None,
    origin: Origin = UNSTATED,
) -> Plan:
    """The training of a background model on windows of a folder's pictures.

    Arguments as for background_crops, preset_model and train.
    """
    crops = background_crops(
        folder, size, layout=layout, split=split, every=every, on_error=on_error, scale=scale, skip_small=skip_small
    )
    model = _model("background", crops, out, config, preset, variance, prediction)
    return Plan(model, config, crops, Path(out), _named(origin, folder))


def plan_object(
    folder: str | Path,
    out: str | Path,
    config: TrainConfig,
    *,
    size: Size = (32, 32),
    layout: str | None = None,
    split: Part | None = None,
    every: int = 1,
    on_error: OnError = "fail",
    scale: float = 1.0,
    mask_rule: str | None = None,
    mask_suffix: str | None = None,
    classes: Sequence[str] | None = None,
    min_area: int = 16,
    merge_distance: int = 4,
    skip_small: bool = False,
    skip_empty: bool = False,
    preset: Preset | None = None,
    variance: Variance | None = None,
    prediction: PredictionType | None = None,
    origin: Origin = UNSTATED,
) -> Plan:
    """The training of an object model on pictures and masks; arguments as for object_crops, preset_model and train.

    Two or more `classes` make a class-conditional model, which with label_dropout knows the class "any" too; one class
    alone, or all of them together by default, make a plain one.
    """
    crops = object_crops(
        folder,
        size,
        layout=layout,
        split=split,
        every=every,
        on_error=on_error,
        scale=scale,
        mask_rule=mask_rule,
        mask_suffix=mask_suffix,
        classes=classes,
        min_area=min_area,
        merge_distance=merge_distance,
        skip_small=skip_small,
        skip_empty=skip_empty,
    )
    labels = _labels(classes or (), config.label_dropout)
    model = _model("object", crops, out, config, preset, variance, prediction, labels)
    return Plan(model, config, crops, Path(out), _named(origin, folder))


P = ParamSpec("P")


def _trained(plan: Callable[P, Plan]) -> Callable[P, Iterator[TrainStep]]:
    @wraps(plan)
    def run(*args: P.args, **kwargs: P.kwargs) -> Iterator[TrainStep]:
        return train(*plan(*args, **kwargs))

    return run


train_background = _trained(plan_background)
"""Train what `plan_background` plans."""

train_object = _trained(plan_object)
"""Train what `plan_object` plans."""


def background_crops(
    folder: str | Path,
    size: Size,
    *,
    layout: str | None = None,
    split: Part | None = None,
    every: int = 1,
    on_error: OnError = "fail",
    scale: float = 1.0,
    skip_small: bool = False,
) -> Windows:
    """What a background is learned from; arguments as for read_images and Windows."""
    pictures = read_images(folder, layout=layout, split=split, every=every, on_error=on_error)
    return Windows(pictures, size, scale, skip_small or on_error == "skip")


def object_crops(
    folder: str | Path,
    size: Size,
    *,
    layout: str | None = None,
    split: Part | None = None,
    every: int = 1,
    on_error: OnError = "fail",
    scale: float = 1.0,
    mask_rule: str | None = None,
    mask_suffix: str | None = None,
    classes: Sequence[str] | None = None,
    min_area: int = 16,
    merge_distance: int = 4,
    skip_small: bool = False,
    skip_empty: bool = False,
) -> ObjectCrops:
    """What objects are learned from; arguments as for read_pairs and ObjectCrops."""
    pairs = read_pairs(
        folder,
        mask_rule,
        mask_suffix,
        skip_empty,
        layout=layout,
        split=split,
        every=every,
        classes=classes,
        on_error=on_error,
    )
    check_classes(pairs)
    return ObjectCrops(pairs, size, scale, min_area, merge_distance, skip_small or on_error == "skip")


def real_crops(denoiser: UNetDenoiser, folder: str | Path, count: int) -> dict[str, Tensor]:
    """Crops of a folder in the way that a model learns from them, (count, C + M, h, w) in [-1, 1], by class.

    Raises:
        DataError: the folder cannot be read, or shows nothing that fits the model.
    """
    size, classes = denoiser.spec.size, [name for name in denoiser.config.classes if name != ANY]
    if not denoiser.spec.mask_channels:
        return {"real": first_crops(background_crops(folder, size, split="all", skip_small=True), count)}
    if not classes:
        return {"real": first_crops(object_crops(folder, size, split="all"), count)}
    crops = {name: object_crops(folder, size, split="all", classes=[name]) for name in classes}
    return {f"real {name}": first_crops(each, count) for name, each in crops.items()}


def first_crops(crops: Crops, count: int) -> Tensor:
    """The first crops of a shuffled epoch, which begins anew where it ends."""
    return Batches(crops, Augmentation(), levels=1, batch_size=count, seed=0)(0).clean


def _labels(classes: Sequence[str], label_dropout: float) -> list[str]:
    """The classes that a model is told, which is none where there is nothing to choose."""
    if len(classes) < 2:
        return []
    if ANY in classes:
        raise TrainingError(f"A class is called {ANY!r}, the name for a class that is not told. Rename it in the data.")
    return [*classes, *([ANY] if label_dropout else [])]


def _model(
    role: Role,
    crops: Crops,
    out: str | Path,
    config: TrainConfig,
    preset: Preset | None,
    variance: Variance | None,
    prediction: PredictionType | None,
    classes: Sequence[str] = (),
) -> ModelConfig:
    """The preset's model, or one like the model to begin with."""
    name = Path(out).resolve().name
    if config.init is None:
        return preset_model(
            role, crops, name, preset or "tiny", variance or "learned-range", prediction or "epsilon", classes
        )
    if preset:
        raise TrainingError(
            f"The network was given as preset {preset!r} and by init {config.init!r}; expected one of them."
        )
    return like(config.init, role, crops, name, variance, prediction, classes)


def _named(origin: Origin, folder: str | Path) -> Origin:
    return origin if origin.data != UNSTATED.data else origin._replace(data=Path(folder).resolve().name)
