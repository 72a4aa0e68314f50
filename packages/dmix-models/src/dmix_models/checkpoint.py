"""Checkpoints: a folder with `config.json`, `model.safetensors` and `README.md`, the model card."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from dmix_core.errors import DmixError, did_you_mean
from dmix_core.files import writable_folder, write_atomically
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from .config import ModelConfig
from .denoiser import Dtype, UNetDenoiser
from .unet import UNet, UNetConfig

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
BUNDLED = Path(__file__).parent / "bundled"

StoreDtype = Literal["float16", "bfloat16", "float32"]
Shapes = dict[str, tuple[int, ...]]


class CheckpointError(DmixError):
    """A checkpoint that cannot be read or written, or whose weights do not fit its network."""


class ModelCard(BaseModel):
    """Where a model comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    steps: NonNegativeInt
    command: str
    licence: str
    settings: dict[str, object] = {}
    notes: str = ""


# ---- writing ------------------------------------------------------------------------------------------------


def save(
    folder: str | Path,
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    card: ModelCard,
    store_dtype: StoreDtype = "float32",
) -> Path:
    """Write a checkpoint folder, whole or not at all; one that is there is replaced.

    Args:
        weights: the network's state dict.
        store_dtype: how the weights are stored; `load` makes float32 of them.

    Raises:
        CheckpointError: the weights do not fit the config or are not finite, or the folder holds something else.
    """
    folder = Path(folder)
    stored = {key: tensor.detach().cpu().to(getattr(torch, store_dtype)).contiguous() for key, tensor in weights.items()}
    check_weights(stored, config.unet, f"The weights of {config.name!r}")
    _check_finite(stored, store_dtype)
    _check_replaceable(folder)
    data = safetensors.torch.save(stored, metadata={"format": "pt"})
    with _replacing(folder) as new:
        write_atomically(new / CONFIG, (config.model_dump_json(indent=2) + "\n").encode())
        write_atomically(new / WEIGHTS, data)
        write_atomically(new / CARD, _card_text(config, card, stored, hashlib.sha256(data).hexdigest()).encode())
    return folder


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A fresh sibling folder, which takes the place of `folder` once it is complete."""
    parent = writable_folder(folder.absolute().parent)
    scratch = Path(tempfile.mkdtemp(dir=parent, prefix=f".{folder.name}."))
    try:
        new, old = scratch / "new", scratch / "old"
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"Cannot write a checkpoint to {str(folder)!r}: it is a file; name a folder.")
    others = sorted({path.name for path in folder.glob("*")} - {CONFIG, WEIGHTS, CARD})
    if others:
        raise CheckpointError(
            f"Cannot write a checkpoint to {str(folder)!r}: the folder holds other files ({', '.join(others[:3])}), "
            "which would be lost; name a new folder, or one that holds a checkpoint alone."
        )


def _check_finite(stored: Mapping[str, Tensor], store_dtype: StoreDtype) -> None:
    for key, tensor in stored.items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"The weights hold NaN or infinity as {store_dtype} (in {key}). Expected finite numbers: "
                "store float32 or bfloat16 if float16 is too narrow; otherwise the training has diverged."
            )


def _card_text(config: ModelConfig, card: ModelCard, stored: Mapping[str, Tensor], sha256: str) -> str:
    parameters = sum(tensor.numel() for tensor in stored.values())
    dtype = str(next(iter(stored.values())).dtype).removeprefix("torch.")
    height, width = config.size
    settings = "".join(f"- {key}: {value}\n" for key, value in card.settings.items())
    lines = f"""\
# {config.name}

A denoising diffusion model for `dmix`: {config.role}, {height} x {width} pixels, {config.image_channels} image and \
{config.mask_channels} mask channels, {config.prediction} prediction, {config.variance} variance, \
{config.noise.kind} noise schedule of {config.noise.steps} steps.

- data: {card.data}
- training steps: {card.steps}
- parameters: {parameters:,}, stored as {dtype}
- licence: {card.licence}
- sha256 of {WEIGHTS}: {sha256}

## Made with

    {card.command}
"""
    return "\n".join(filter(None, [lines, settings, card.notes and f"## Notes\n\n{card.notes}\n"]))


# ---- reading ------------------------------------------------------------------------------------------------


def load(name_or_folder: str | Path, device: str | torch.device = "cpu", dtype: Dtype = "float32") -> UNetDenoiser:
    """The denoiser of a bundled model (see `bundled`) or of a checkpoint folder.

    Raises:
        CheckpointError: no such model, or a checkpoint that is damaged or does not fit its config.
    """
    folder = find(name_or_folder)
    config = read_config(folder)
    network = build(config.unet, read_weights(folder), f"{folder / WEIGHTS}").requires_grad_(False)
    return UNetDenoiser(config, network, dtype=dtype).to(device)


def bundled() -> list[str]:
    """The names of the models that come with this package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))


def find(name_or_folder: str | Path) -> Path:
    """The folder of a bundled model, by name, or the given folder."""
    name = str(name_or_folder)
    if name in bundled():
        return BUNDLED / name
    if Path(name_or_folder).is_dir():
        return Path(name_or_folder)
    raise CheckpointError(
        f"No model {name!r}: it is neither a bundled model nor a folder.{did_you_mean(name, bundled())} "
        f"Bundled models: {', '.join(bundled()) or 'none'}. A checkpoint is a folder with {CONFIG} and {WEIGHTS}."
    )


def read_config(folder: Path) -> ModelConfig:
    """The config of a checkpoint folder."""
    path = folder / CONFIG
    try:
        return ModelConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {str(path)!r} ({error.strerror}). A checkpoint is a folder with {CONFIG} and {WEIGHTS}; "
            "guided-diffusion's .pt files have to be imported first."
        ) from error
    except ValidationError as error:
        raise CheckpointError(f"{str(path)!r} is not a model config: {_first_problem(error)}") from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint folder as float32, proved against the model card's checksum where it has one."""
    path = folder / WEIGHTS
    try:
        weights = safetensors.torch.load_file(path)
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {str(path)!r} ({error.strerror or error}). A checkpoint is a folder with {CONFIG} and {WEIGHTS}."
        ) from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{str(path)!r} is damaged or not a safetensors file ({error}). Copy or download the checkpoint again."
        ) from error
    _check_sum(folder)
    return {key: tensor.float() for key, tensor in weights.items()}


def build(config: UNetConfig, weights: Mapping[str, Tensor], source: str) -> UNet:
    """The network of a config with these weights; `source` names them in errors."""
    check_weights(weights, config, source)
    with torch.device("meta"):
        network = UNet(config)
    network.load_state_dict(weights, assign=True)
    return network.to(memory_format=torch.channels_last)


def _check_sum(folder: Path) -> None:
    card = folder / CARD
    stated = re.search(r"sha256 of \S+: ([0-9a-f]{64})", card.read_text()) if card.is_file() else None
    with open(folder / WEIGHTS, "rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if stated and stated[1] != actual:
        raise CheckpointError(
            f"{str(folder / WEIGHTS)!r} has sha256 {actual[:16]}...; its model card {CARD} says {stated[1][:16]}...: "
            "the weights were changed or damaged. Copy or download the checkpoint again."
        )


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    *parents, key = map(str, problem["loc"] or [""])
    where = ".".join([*parents, key])
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg']}." if where else f"{problem['msg']}."
    model = {"unet": UNetConfig, "noise": ModelConfig.model_fields["noise"].annotation}.get("".join(parents), ModelConfig)
    return f"unknown key {where!r}.{did_you_mean(key, model.model_fields)}"


# ---- do these weights fit this network? -----------------------------------------------------------------------


def shapes_of(config: UNetConfig) -> Shapes:
    """Every parameter's name and shape, in the order of the state dict."""
    with torch.device("meta"):
        return {key: tuple(tensor.shape) for key, tensor in UNet(config).state_dict().items()}


def check_weights(weights: Mapping[str, Tensor], config: UNetConfig, source: str) -> None:
    """Raise a CheckpointError that names the first mismatches and the likely cause, unless the weights fit."""
    expected = shapes_of(config)
    given = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    problems = [
        _some("missing", [key for key in expected if key not in given]),
        _some("unexpected", [key for key in given if key not in expected]),
        _some(
            "of another shape",
            [
                f"{key} {given[key]} instead of {shape}"
                for key, shape in expected.items()
                if given.get(key, shape) != shape
            ],
        ),
    ]
    if any(problems):
        raise CheckpointError(
            f"{source} do not fit the network: {'; '.join(filter(None, problems))}.{_likely_cause(given, expected)}"
        )


def _some(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}: {', '.join(names[:3])}{more}" if names else ""


def _likely_cause(given: Shapes, expected: Shapes) -> str:
    def differs(pattern: str) -> bool:
        return any(re.search(pattern, key) and given.get(key) != expected.get(key) for key in given | expected)

    def has(pattern: str, shapes: Shapes) -> bool:
        return any(re.search(pattern, key) for key in shapes)

    updown = r"\.(op|conv)\.weight"
    if has(r"^module\.", given):
        return " Likely cause: the names carry the prefix 'module.' of a parallel wrapper; strip it."
    if has(updown, given) != has(updown, expected):
        return f" Likely cause: these weights were trained with resblock_updown = {not has(updown, given)}."
    if has("^label_emb", given) != has("^label_emb", expected) or differs("^label_emb"):
        classes = given.get("label_emb.weight", (None,))[0]
        return f" Likely cause: these weights were trained with num_classes = {classes}."
    if differs(r"^input_blocks\.0\.0\.weight"):
        return " Likely cause: another number of input channels (in_channels) or of model_channels."
    if differs(r"^out\.2"):
        return " Likely cause: another variance (learn_sigma): a learned range doubles out_channels."
    if differs(r"emb_layers") and not differs(r"in_layers"):
        return " Likely cause: these weights were trained with another scale_shift_norm."
    return " Likely cause: another channel_mult, num_res_blocks or attention_downsamples."
