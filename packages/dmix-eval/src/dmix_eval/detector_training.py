"""Train a detector, and let it look at whole pictures."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dmix_models.precision import Precision, choose, images_per_second
from dmix_models.unet_layers import channels_last

from .detector import Detector, Timed
from .detector_batches import Batch, Share, batches
from .experiment_config import Training
from .photographs import Photograph

AT_ONCE = 32  # windows
WARMING = 0.1  # of the steps
WEIGHT_DECAY = 1e-4


def faster(training: Training) -> Precision:
    """The precision that is faster on this machine."""
    x = torch.zeros(training.defects + training.elsewhere, 1, training.side, training.side)
    network = Timed(channels_last(Detector()))
    return choose(images_per_second(network, x, x, None)).chosen


def trained(
    shares: Sequence[Share],
    training: Training,
    seed: int,
    precision: Precision,
    on_step: Callable[[], object] = lambda: None,
) -> Detector:
    """A detector of its own seed, trained on batches of the same seed."""
    torch.manual_seed(seed)
    detector = channels_last(Detector())
    optimizer = torch.optim.AdamW(detector.parameters(), training.learning_rate, weight_decay=WEIGHT_DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=training.steps + 1, pct_start=WARMING
    )
    for batch in batches(shares, training, seed):
        with _autocast(precision):
            logits = detector(batch.images.contiguous(memory_format=torch.channels_last))
        loss(logits, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        rates.step()
        on_step()
    return detector.eval()


def loss(logits: Tensor, batch: Batch) -> Tensor:
    """Binary cross entropy and Dice over the batch, as in nnU-Net (Isensee et al., 2021)."""
    said = logits.sigmoid()
    overlap = 2 * (said * batch.masks).sum() + 1
    dice = 1 - overlap / (said.sum() + batch.masks.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, batch.masks) + dice


# ---- testing ------------------------------------------------------------------------------------------------


@torch.inference_mode()
def whole(detector: Detector, photo: Photograph, precision: Precision) -> Tensor:
    """(H, W) probabilities by one pass over the whole picture, mirrored at its borders to sides that fit."""
    image = _image(photo)
    height, width = image.shape[2:]
    lacking = [-side % detector.multiple for side in (height, width)]
    padded = F.pad(image, (0, lacking[1], 0, lacking[0]), mode="reflect")
    return _said(detector, padded, precision)[0, 0, :height, :width]


@torch.inference_mode()
def by_windows(detector: Detector, photo: Photograph, side: int, stride: int, precision: Precision) -> Tensor:
    """(H, W) probabilities, each the mean over all windows (side, side) that hold the pixel."""
    image = _image(photo)
    height, width = image.shape[2:]
    image = F.pad(image, (0, max(0, side - width), 0, max(0, side - height)), mode="reflect")
    corners = [(y, x) for y in _starts(image.shape[2], side, stride) for x in _starts(image.shape[3], side, stride)]
    total, count = (torch.zeros(image.shape[2:]) for _ in range(2))
    for part in _parts(corners, AT_ONCE):
        said = _said(detector, torch.cat([image[..., y : y + side, x : x + side] for y, x in part]), precision)
        for (y, x), each in zip(part, said[:, 0], strict=True):
            total[y : y + side, x : x + side] += each
            count[y : y + side, x : x + side] += 1
    return (total / count)[:height, :width]


def _starts(length: int, side: int, stride: int) -> list[int]:
    return [*range(0, length - side, stride), length - side]


def _parts(items: Sequence[tuple[int, int]], size: int) -> Iterator[Sequence[tuple[int, int]]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _image(photo: Photograph) -> Tensor:
    return torch.from_numpy(photo.image.astype(np.float32))[None, None] / 127.5 - 1


def _said(detector: Detector, images: Tensor, precision: Precision) -> Tensor:
    with _autocast(precision):
        logits: Tensor = detector(images.contiguous(memory_format=torch.channels_last))
    return logits.sigmoid()


def _autocast(precision: Precision) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
