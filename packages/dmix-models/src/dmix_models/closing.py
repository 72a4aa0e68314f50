"""What follows a training's last step: samples, whether they repeat the training crops, and the verdict.

All of it depends on the model, the crops and the settings alone, so that it can be done again wherever it was cut off.
The record FINISHED is written last.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from dmix_core.files import write_atomically
from dmix_data.augment import Augmentation
from dmix_data.batches import stream
from dmix_data.datasets import Crops

from .denoiser import NetworkDenoiser
from .filenames import file_names
from .memorisation import Memorisation, MemorisationError, check_kinds, compare_kinds, draw, items_of
from .memorisation import picture_names as memorisation_pictures
from .memorisation import write as write_memorisation
from .metrics import METRICS, read_metrics
from .preview import write_rows
from .train_config import TrainConfig
from .verdict import Evidence, Finding, Run, Verdict, judge

logger = logging.getLogger(__name__)

VERDICT, FINISHED = "verdict", "finished.json"
FEW = 100  # pictures, of which a model may repeat what it was shown
CROPS = 128  # that samples are held against; their 95 % quantile is then the seventh highest
SHOWN = 8  # samples of a class on the sheet


class Closing(NamedTuple):
    """What was found out at the end."""

    verdict: Verdict
    memorised: list[Memorisation]


def look(
    denoiser: NetworkDenoiser, crops: Crops, config: TrainConfig, done: int, folder: Path, device: torch.device
) -> Closing:
    """Draw samples, hold them against training crops, and write the reports into the folder of the training."""
    kinds = denoiser.kinds()
    count = max(config.verdict_samples, config.memorisation_samples)
    images = draw(kinds, count, config.preview_steps, device=device) if count else {}
    memorised = _memorised(denoiser, crops, images, config, device)
    evidence = _evidence(denoiser, crops, images, config, memorised)
    verdict = judge(read_metrics(folder / METRICS), evidence, _run(denoiser, crops, config, done))
    if not evidence:
        verdict.findings.append(Finding("samples", None, "none were drawn (--verdict-samples 0)"))
    if memorised:
        write_memorisation(folder, memorised)
    _write(folder, verdict, evidence)
    return Closing(verdict, memorised)


def _memorised(
    denoiser: NetworkDenoiser,
    crops: Crops,
    images: Mapping[str | None, Tensor],
    config: TrainConfig,
    device: torch.device,
) -> list[Memorisation]:
    """Of the classes that can be composed: nobody sees what the others repeat."""
    if not config.memorisation_samples or len(crops.pictures) > FEW:
        return []
    kinds = denoiser.object_kinds()
    try:
        check_kinds(kinds, crops)
    except MemorisationError as error:
        logger.info("No memorisation report: %s", error)
        return []
    return compare_kinds({name: images[name][: config.memorisation_samples] for name in kinds}, crops, device)


def _evidence(
    denoiser: NetworkDenoiser,
    crops: Crops,
    images: Mapping[str | None, Tensor],
    config: TrainConfig,
    memorised: Sequence[Memorisation],
) -> list[Evidence]:
    copies = {found.name: found.verdict for found in memorised if found.warns}
    return [
        Evidence(
            name,
            each[: config.verdict_samples],
            real_crops(crops, items_of(crops, name), config.augment, CROPS),
            denoiser.config.image_channels,
            copies.get(name),
        )
        for name, each in images.items()
        if config.verdict_samples
    ]


def real_crops(crops: Crops, items: Sequence[int], augment: Augmentation, count: int) -> Tensor:
    """So many crops of some items in turn, as they are learned from: (count, C + M, h, w) in [-1, 1]."""
    cut = []
    for number in range(count):
        random = stream(0, 6, number)
        cut.append(augment(crops.cut(items[number % len(items)], random), random))
    return torch.from_numpy(np.stack(cut)).movedim(-1, 1) / 127.5 - 1


def _run(denoiser: NetworkDenoiser, crops: Crops, config: TrainConfig, done: int) -> Run:
    counts = {name: len(items_of(crops, name)) for name in denoiser.config.classes or (None,)}
    return Run(done, denoiser.config.prediction, done * config.batch_size / len(crops), counts)


# ---- files --------------------------------------------------------------------------------------------------


class VerdictRecord(BaseModel):
    """verdict.json."""

    model_config = ConfigDict(extra="forbid")

    format_version: int
    steps: int
    ready: bool
    summary: str
    findings: list[Finding]
    advice: list[str]

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.steps, self.findings, self.advice)


def read_verdict(folder: Path) -> Verdict | None:
    """The verdict in the folder of a training; None where there is none, or none that can be read."""
    try:
        return VerdictRecord.model_validate_json((folder / f"{VERDICT}.json").read_bytes()).verdict
    except (OSError, ValidationError):
        return None


def verdict_pictures(names: Sequence[str | None]) -> dict[str | None, str]:
    """The sheet of samples beside training crops of each class."""
    return file_names(VERDICT, ".png", names)


def _write(folder: Path, verdict: Verdict, evidence: Sequence[Evidence]) -> None:
    names = verdict_pictures([each.name for each in evidence])
    for each in evidence:
        rows = min(SHOWN, len(each.samples))
        both = {"training crops": each.crops[:rows], "samples": each.samples[:rows].cpu()}
        write_rows(folder / names[each.name], both, each.image_channels)
    write_atomically(folder / f"{VERDICT}.json", json.dumps(verdict.as_record(), indent=2).encode())


def files_of(folder: Path, classes: Sequence[str | None]) -> list[Path]:
    """All files that `look` may write, for a model of these classes."""
    names = [*verdict_pictures(classes).values(), *memorisation_pictures(classes).values()]
    return [folder / name for name in (*names, f"{VERDICT}.json", "memorisation.json", FINISHED)]


class _Finished(BaseModel):
    step: int


def finished(folder: Path, step: int) -> bool:
    """Has everything that follows the last step been done after this step?"""
    try:
        return _Finished.model_validate_json((folder / FINISHED).read_bytes()).step == step
    except (OSError, ValidationError):
        return False


def mark_finished(folder: Path, step: int) -> None:
    """Note that nothing is left to do."""
    write_atomically(folder / FINISHED, json.dumps({"step": step}).encode())
