"""What a training would take: memory, pace and time, from a few real steps in a folder that is thrown away."""

import re
import sys
import time
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmix_data.datasets import Crops, ObjectCrops, Windows
from dmix_data.loader import Picture

from .config import ModelConfig, Role
from .denoiser import NetworkDenoiser
from .presets import preset_model
from .preview import sample
from .trainer import UNSTATED, TrainConfig, Training, new_network
from .training_setup import TrainingSetup

WARM = 2  # steps that are not timed
TIMED = 10
QUICK, SMALL_BATCHES = 3, (2, 8)
"""Of a quick estimate: the steps that are timed, and the images in a step."""
PREVIEW = 2  # denoising steps of a preview that are timed


@dataclass(frozen=True)
class Estimate:
    """What was computed and measured. Sizes are in bytes, of one process.

    Attributes:
        weights: of the network; gradients and the average of the weights take as much each, AdamW's moments twice.
        peak: measured while training: on a GPU the most that was allocated there at once, on a CPU how much the
            process's resident memory grew; None where the system does not report it.
        kept: what the forward pass keeps for the backward pass, of one part of a batch.
        seconds: of a step, the median of ten.
        preview_seconds: of a preview.
        total_seconds: of the whole run with its previews.
    """

    model: ModelConfig
    config: TrainConfig
    device: str
    processes: int
    parameters: int
    weights: int
    peak: int | None
    kept: int
    seconds: float
    preview_seconds: float

    @property
    def previews(self) -> int:
        return -(-self.config.steps // self.config.preview_every)

    @property
    def total_seconds(self) -> float:
        return self.config.steps * self.seconds + self.previews * self.preview_seconds

    @property
    def images_per_second(self) -> float:
        return self.config.batch_size / self.seconds

    @property
    def computed(self) -> int:
        return 5 * self.weights + self.kept


def estimate(setup: TrainingSetup) -> Estimate:
    """Train for twelve steps without writing into the folder of the setup."""
    with TemporaryDirectory() as folder:
        before = resident_peak() or 0
        training = Training(setup.model, _undisturbed(setup.config), setup.crops, Path(folder), setup.origin)
        seconds = _pace(training)
        processes, device = training.accelerator.num_processes, training.device
        config = setup.config.model_copy(update={"mixed_precision": training.config.mixed_precision})
        return Estimate(
            setup.model,
            config,
            device_name(device),
            processes,
            sum(parameter.numel() for parameter in training.network.parameters()),
            sum(parameter.nbytes for parameter in training.network.parameters()),
            peak_since(before, device),
            kept_for_backward(setup.model, config, processes, device),
            seconds,
            _preview_seconds(training),
        )


class QuickEstimate(NamedTuple):
    """What a training of usual settings would take: seconds without previews, and bytes as `Estimate.computed`."""

    seconds: float
    memory: int
    device: str


def quick_estimate(role: Role, side: int, steps: int) -> QuickEstimate:
    """A few steps of two small batches, and from these the usual batch; needs no data, whose content costs nothing.

    A step costs so much, and each of its images so much more: steps of small batches alone would be scaled up too far.

    Args:
        side: of the square grid, in pixels.
    """
    crops, (few, more) = _blank(role, side), SMALL_BATCHES
    model, batch = preset_model(role, crops, "quick"), TrainConfig(steps=steps).batch_size
    device, fast = _small(model, crops, few)
    _, slow = _small(model, crops, more)
    each = max(slow - fast, 0) / (more - few)
    config = TrainConfig(steps=steps, batch_size=few, mixed_precision="no")
    kept = kept_for_backward(model, config, 1, device) * batch // few
    weights = sum(parameter.nbytes for parameter in new_network(model.network, config.seed).parameters())
    seconds = steps * (slow + (batch - more) * each)
    return QuickEstimate(seconds, 5 * weights + kept, device_name(device))


def _small(model: ModelConfig, crops: Crops, batch: int) -> tuple[torch.device, float]:
    """The device, and the seconds of the fastest step of so many images, which other programs disturb least."""
    config = _undisturbed(TrainConfig(steps=1, batch_size=batch, mixed_precision="no"))
    with TemporaryDirectory() as folder:
        training = Training(model, config, crops, Path(folder), UNSTATED)
        return training.device, min(_seconds(training, QUICK))


def _blank(role: Role, side: int) -> Crops:
    """Crops of two black pictures, whose masks show a square in the middle."""
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 255
    pictures = [Picture(Path(name), np.zeros((side, side, 3), np.uint8), mask) for name in "ab"]
    return ObjectCrops(pictures, (side, side)) if role == "object" else Windows(pictures, (side, side))


def _undisturbed(config: TrainConfig) -> TrainConfig:
    """The same without files and previews in the first steps."""
    never = 10**9
    return config.model_copy(update={"steps": never, "save_every": never, "preview_every": never, "keep": 1})


def _pace(training: Training) -> float:
    """Seconds of a step, the median of ten."""
    return median(_seconds(training, TIMED))


def _seconds(training: Training, timed: int) -> list[float]:
    """Of so many steps, after some that are not timed."""
    times = [time.perf_counter() for _ in islice(training.run(), WARM + timed)]
    return [after - before for before, after in pairwise(times[WARM - 1 :])]


def _preview_seconds(training: Training) -> float:
    config = training.config
    denoiser = NetworkDenoiser(
        training.model, training.network, dtype="bfloat16" if config.mixed_precision == "bf16" else "float32"
    )
    kinds = denoiser.kinds().values()
    start = time.perf_counter()
    for kind in kinds:
        sample(kind, config.preview_samples, PREVIEW, device=training.device)
    return (time.perf_counter() - start) * config.preview_steps / PREVIEW


def device_name(device: torch.device) -> str:
    """With a CPU, the number of threads."""
    if device.type == "cuda":
        return f"{device}, {torch.cuda.get_device_name(device)}"
    return f"{device}, {torch.get_num_threads()} threads" if device.type == "cpu" else str(device)


# ---- memory -------------------------------------------------------------------------------------------------


def peak_since(before: int, device: torch.device) -> int | None:
    """The most memory that was allocated on a GPU; on a CPU, how much resident memory has grown beyond `before`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    now = resident_peak()
    return None if now is None else now - before


def resident_peak() -> int | None:
    """The most resident memory that the process has had, in bytes; None where the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss begins with that of the process that started this one
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(found[1]) * 1024 if found else None
    try:
        import resource
    except ImportError:  # on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def kept_for_backward(model: ModelConfig, config: TrainConfig, processes: int, device: torch.device) -> int:
    """Bytes of all tensors but the weights that a forward pass keeps, for one process and one part of a batch."""
    network = new_network(model.network, config.seed).to(device)
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    rows = config.batch_size // (processes * config.accumulate)
    x_t = torch.zeros(rows, model.spec.channels, *model.size, device=device)
    x_t = x_t.contiguous(memory_format=torch.channels_last)
    times = torch.zeros(rows, dtype=torch.long, device=device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.mixed_precision == "bf16")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        output = network(x_t, times, times if model.classes else None)
    del output
    return sum(kept.values())
