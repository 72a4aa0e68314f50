"""dmix' models as diffusers pipelines, and diffusers pipelines as dmix' checkpoints."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from dmix_core import NoiseSchedule
from dmix_core.errors import ScheduleError
from dmix_core.files import writable_folder, write_atomically
from dmix_core.protocols import Denoiser
from dmix_models import ModelCard, ModelConfig, NetworkDenoiser, NoiseConfig, UNetConfig, load, save

from .folder import PipelineError, PipelineFolder, read_json
from .schedulers import PREDICTIONS, Scheduling
from .unet2d import AS_IT_IS, check_same, from_unet2d, grid_size, to_unet2d, unet2d_config, unet_config

SIDECAR = "dmix.json"
"""Beside an exported pipeline's own files: the model's config, in which dmix finds what the pipeline's do not state."""


def export_pipeline(model: Denoiser | str | Path, folder: str | Path) -> Path:
    """Save a model as a pipeline, whole or not at all, that `DDPMPipeline.from_pretrained(folder)` runs.

    A class-conditional model becomes one that paints the class of its label: the class' embedding is added to the
    bias of the time embedding. An object's mask is the pipeline's last channel: an RGB object's pictures come out as
    RGBA. The scheduler's timestep_spacing is "linspace": N steps visit the levels that `respace(N)` of dmix visits, but
    for those that lie halfway between two levels, where diffusers rounds to the even one and dmix as guided-diffusion
    does; of 1000 levels, 278 numbers of steps have such ones, which are then one level apart.

    Args:
        model: the denoiser of a checkpoint, the name of a bundled model, or a checkpoint folder.
        folder: a new one, or an empty one.

    Raises:
        PipelineError: UNet2DModel has no such network, a class is not chosen, or the folder is not empty.
    """
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    denoiser = load(model) if isinstance(model, str | Path) else model
    if not isinstance(denoiser, NetworkDenoiser):
        raise PipelineError(f"Only dmix' own models become pipelines; got a {type(denoiser).__name__}.")
    config, weights = _unconditional(denoiser)
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PipelineError(f"Cannot write a pipeline to {str(folder)!r}: there is something; name a new folder.")
    arguments = unet2d_config(_unet(config), config.size)
    with torch.device("meta"):
        unet = UNet2DModel(**arguments)
    unet.load_state_dict(to_unet2d(weights, _unet(config)), assign=True)
    scheduler = DDPMScheduler(**scheduler_config(config))
    scratch = Path(tempfile.mkdtemp(dir=writable_folder(folder.absolute().parent), prefix=f".{folder.name}."))
    try:
        DDPMPipeline(unet, scheduler).save_pretrained(scratch, safe_serialization=True)
        write_atomically(scratch / SIDECAR, (config.model_dump_json(indent=2) + "\n").encode())
        scratch.chmod(0o755)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def import_pipeline(pipeline: str | Path, folder: str | Path, mask_channels: Literal[0, 1] = 0) -> Path:
    """Write the checkpoint folder of the dmix model that a pipeline's weights make.

    Args:
        pipeline: a folder or an id of the hub, with a UNet2DModel that is built as dmix' UNet is.
        mask_channels: 1 if the last channel is a mask; a pipeline that dmix has written states it itself.

    Raises:
        PipelineError: which key of a config dmix' models have no equivalent for.
        CheckpointError: the folder holds something else.
    """
    from diffusers import UNet2DModel

    found = PipelineFolder.find(pipeline, "diffusers")
    unet = found.load_alone("unet", UNet2DModel)
    try:
        config = _model_config(found, dict(unet.config), mask_channels)
    except ValidationError as error:
        raise PipelineError(f"dmix has no such model: {error.errors()[0]['msg']}. {AS_IT_IS}") from error
    card = ModelCard(
        data=f"that of the diffusers pipeline {pipeline}",
        command=f'import_pipeline("{pipeline}", ...)',
        licence=f"that of {pipeline}; the import changes nothing",
    )
    return save(folder, config, from_unet2d(unet.state_dict(), _unet(config)), card)


def scheduler_config(config: ModelConfig) -> dict[str, Any]:
    """The arguments of DDPMScheduler for a model."""
    steps, scale = config.noise.steps, 1000 / config.noise.steps
    return {
        "num_train_timesteps": steps,
        "beta_start": scale * 1e-4,
        "beta_end": scale * 0.02,
        "beta_schedule": {"linear": "linear", "cosine": "squaredcos_cap_v2"}[config.noise.kind],
        "prediction_type": {ours: theirs for theirs, ours in PREDICTIONS.items()}[config.prediction],
        "variance_type": config.variance.replace("-", "_"),
        "clip_sample": True,
        "timestep_spacing": "linspace",
    }


def _unet(config: ModelConfig) -> UNetConfig:
    if not isinstance(config.network, UNetConfig):
        raise PipelineError(f"{config.name!r} has a network of kind {config.network.kind!r}; expected a UNet.")
    return config.network


def read_sidecar(folder: Path) -> ModelConfig | None:
    """What dmix wrote beside a pipeline that it has exported; None for any other pipeline."""
    path = folder / SIDECAR
    if not path.is_file():
        return None
    try:
        return ModelConfig.model_validate(read_json(path))
    except ValidationError as error:
        raise PipelineError(
            f"{str(path)!r} is damaged ({error.errors()[0]['msg']}). Export the model again, or delete this file."
        ) from error


def _unconditional(denoiser: NetworkDenoiser) -> tuple[ModelConfig, dict[str, Tensor]]:
    """A model without classes; of one that has them, the one that paints the label's class alone."""
    config, weights = denoiser.config, dict(denoiser.network.state_dict())
    if not config.classes:
        return config, weights
    if denoiser.label is None:
        raise PipelineError(
            f"{config.name!r} is class-conditional, and DDPMPipeline paints no classes; choose one with "
            f"with_label(...) or {config.name}:LABEL: {', '.join(config.classes[:10])}."
        )
    embedding = weights.pop("label_emb.weight")[config.classes.index(denoiser.label)]
    weights["time_embed.2.bias"] = weights["time_embed.2.bias"] + embedding
    network = config.network.model_copy(update={"num_classes": None})
    name = f"{config.name}-{denoiser.label}"
    return config.model_copy(update={"name": name, "classes": (), "pairs": False, "network": network}), weights


def _model_config(found: PipelineFolder, theirs: dict[str, Any], mask_channels: int) -> ModelConfig:
    known = read_sidecar(found.path)
    if known is not None:
        check_same(theirs, unet2d_config(_unet(known), known.size))
        return known
    scheduling = Scheduling.load(found)
    if (scheduling.clip, scheduling.threshold) != (1.0, None):
        raise PipelineError(
            "The scheduler's clip_sample, clip_sample_range and thresholding limit clean predictions "
            f"{'not at all' if scheduling.clip is None else 'otherwise'}; dmix' models clamp them to -1..1. {AS_IT_IS}"
        )
    return ModelConfig(
        name=found.path.resolve().name,
        role="object" if mask_channels else "background",
        size=grid_size(theirs["sample_size"]),
        image_channels=theirs["in_channels"] - mask_channels,
        mask_channels=mask_channels,
        classes=tuple(map(str, range(theirs["num_class_embeds"] or 0))),
        noise=_noise_config(scheduling.noise),
        prediction=scheduling.prediction,
        variance=scheduling.variance,
        network=unet_config(theirs),
    )


def _noise_config(noise: NoiseSchedule) -> NoiseConfig:
    for kind in ("linear", "cosine"):
        config = NoiseConfig(kind=kind, steps=noise.steps)
        with suppress(ScheduleError):  # linear betas of a few steps reach beyond 1
            if torch.allclose(config.schedule().alpha_bar, noise.alpha_bar, rtol=1e-6, atol=0):
                return config
    raise PipelineError(
        "The scheduler's beta_schedule, beta_start, beta_end or trained_betas make another table than dmix' models "
        f"have: linear from 0.0001 to 0.02 for 1000 steps, or squaredcos_cap_v2. {AS_IT_IS}"
    )
