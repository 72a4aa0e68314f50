"""From a folder of pictures to a model: what is learned from, by which network, and the training of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from dmix_core.noise import PredictionType
from dmix_core.protocols import Size
from dmix_data.augment import Augmentation
from dmix_data.batches import ANY, Batches
from dmix_data.datasets import NONE, OBJECT, Crops, background_crops, object_crops
from dmix_data.options import DataOptions

from .config import ModelConfig, Role, Variance
from .denoiser import NetworkDenoiser
from .metrics import TrainStep
from .presets import Preset, preset_model
from .trainer import UNSTATED, Origin, TrainConfig, TrainingError, train
from .transfer import like

_ALL = DataOptions()


class TrainingSetup(NamedTuple):
    """A training that may begin; the arguments of `train`."""

    model: ModelConfig
    config: TrainConfig
    crops: Crops
    out: Path
    origin: Origin


class Architecture(NamedTuple):
    """Which network is trained. None is the usual one, or that of the model to begin with.

    Attributes:
        preset: its size; "tiny" is usual. None of the model to begin with may be given.
        variance: "learned-range" is usual.
        prediction: "epsilon" is usual.
    """

    preset: Preset | None = None
    variance: Variance | None = None
    prediction: PredictionType | None = None


_USUAL = Architecture()


def background_setup(
    folder: str | Path,
    out: str | Path,
    config: TrainConfig,
    size: Size = (64, 64),
    data: DataOptions = _ALL,
    architecture: Architecture = _USUAL,
    origin: Origin = UNSTATED,
) -> TrainingSetup:
    """The training of a background model on windows of a folder's pictures.

    Raises:
        DataError: nothing in the folder can be learned from.
        TrainingError: a preset beside a model to begin with.
    """
    crops = background_crops(folder, size, data)
    model = _model("background", crops, out, config, architecture)
    return TrainingSetup(model, config, crops, Path(out), _named(origin, folder))


def object_setup(
    folder: str | Path,
    out: str | Path,
    config: TrainConfig,
    size: Size = (32, 32),
    data: DataOptions = _ALL,
    architecture: Architecture = _USUAL,
    origin: Origin = UNSTATED,
) -> TrainingSetup:
    """The training of an object model on a folder's pictures and masks.

    Two or more `data.classes` make a class-conditional model, which with label_dropout knows the class "any" too; one
    class alone, or all of them together by default, make a plain one. With `data.pairs` each of these is
    class-conditional: it has the class "none" too, beside all together as the class "object".

    Raises:
        DataError: nothing in the folder can be learned from; with `data.pairs` a class called "none", or no window
            without an object.
        TrainingError: a class called "any", or a preset beside a model to begin with.
    """
    crops = object_crops(folder, size, data)
    labels = _labels(data, config.label_dropout)
    model = _model("object", crops, out, config, architecture, labels)
    return TrainingSetup(model, config, crops, Path(out), _named(origin, folder))


def train_background(
    folder: str | Path,
    out: str | Path,
    config: TrainConfig,
    size: Size = (64, 64),
    data: DataOptions = _ALL,
    architecture: Architecture = _USUAL,
    origin: Origin = UNSTATED,
) -> Iterator[TrainStep]:
    """Train a background model; arguments and errors as for `background_setup` and `train`."""
    return train(*background_setup(folder, out, config, size, data, architecture, origin))


def train_object(
    folder: str | Path,
    out: str | Path,
    config: TrainConfig,
    size: Size = (32, 32),
    data: DataOptions = _ALL,
    architecture: Architecture = _USUAL,
    origin: Origin = UNSTATED,
) -> Iterator[TrainStep]:
    """Train an object model; arguments and errors as for `object_setup` and `train`."""
    return train(*object_setup(folder, out, config, size, data, architecture, origin))


def real_crops(denoiser: NetworkDenoiser, folder: str | Path, count: int) -> dict[str, Tensor]:
    """Crops of a folder in the way that a model learns from them, (count, C + M, h, w) in [-1, 1], by class.

    Raises:
        DataError: the folder cannot be read, or shows nothing that fits the model.
    """
    size, classes = denoiser.spec.size, denoiser.config.learned_classes
    whole = DataOptions(split="all")
    if not denoiser.spec.mask_channels:
        windows = background_crops(folder, size, whole.model_copy(update={"skip_small": True}))
        return {"real": first_crops(windows, count)}
    if not classes:
        return {"real": first_crops(object_crops(folder, size, whole), count)}
    crops = {name: object_crops(folder, size, whole.model_copy(update={"classes": (name,)})) for name in classes}
    return {f"real {name}": first_crops(each, count) for name, each in crops.items()}


def first_crops(crops: Crops, count: int) -> Tensor:
    """The first crops of a shuffled epoch, which begins anew where it ends."""
    return Batches(crops, Augmentation(), levels=1, batch_size=count, seed=0)(0).clean


def _labels(data: DataOptions, label_dropout: float) -> list[str]:
    """The classes of a class-conditional model; none where there is nothing to choose."""
    classes = data.classes or (OBJECT,)
    several = len(classes) > 1
    if not (several or data.pairs):
        return []
    if ANY in classes:
        raise TrainingError(f"A class is called {ANY!r}, the name for a class that is withheld. Rename it in the data.")
    return [*classes, *([NONE] if data.pairs else []), *([ANY] if several and label_dropout else [])]


def _model(
    role: Role,
    crops: Crops,
    out: str | Path,
    config: TrainConfig,
    architecture: Architecture,
    classes: Sequence[str] = (),
) -> ModelConfig:
    """The preset's model, or one like the model to begin with."""
    name, (preset, variance, prediction) = Path(out).resolve().name, architecture
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
