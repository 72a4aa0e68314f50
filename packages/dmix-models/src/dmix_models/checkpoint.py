"""Checkpoints: a folder with `config.json`, `model.safetensors` and `README.md`, the model card."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from dmix_core.errors import did_you_mean
from dmix_core.files import read_limited, writable_folder, write_atomically
from dmix_core.registry import RETIRED

from .config import ModelConfig, NoiseConfig
from .denoiser import Dtype, NetworkDenoiser
from .weights import CheckpointError, build, check_finite, check_weights

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
LIMIT = 4_000_000  # bytes of a config or a model card
LINE, NOTES = 10_000, 100_000  # characters of a line and of the notes of a model card
BUNDLED = Path(__file__).parent / "bundled"

StoreDtype = Literal["float16", "bfloat16", "float32"]


class ModelCard(BaseModel):
    """Where a model comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    command: str
    licence: str
    steps: NonNegativeInt | None = None
    settings: dict[str, object] = {}
    notes: str = ""


# ---- writing ----------------------------------------------------------------------------------------------


def save(
    folder: str | Path,
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    card: ModelCard,
    store_dtype: StoreDtype = "float32",
) -> Path:
    """Write a checkpoint folder, whole or not at all; a checkpoint that is there is replaced.

    Args:
        weights: the network's state dict.
        store_dtype: how the weights are stored; `load` makes float32 of them.

    Raises:
        CheckpointError: the weights do not fit the config or are not finite; the folder holds something else.
    """
    folder = Path(folder)
    check_weights(weights, config.network, f"The weights of {config.name!r}")
    stored = _stored(weights, store_dtype)
    _check_replaceable(folder)
    data = safetensors.torch.save(stored, metadata={"format": "pt"})
    text = _card_text(config, card, stored, hashlib.sha256(data).hexdigest())
    with _replacing(folder) as new:
        write_atomically(new / CONFIG, (config.model_dump_json(indent=2) + "\n").encode())
        write_atomically(new / WEIGHTS, data)
        write_atomically(new / CARD, text.encode())
    return folder


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder`, which takes its place once it is complete."""
    parent = writable_folder(folder.absolute().parent)
    scratch = Path(tempfile.mkdtemp(dir=parent, prefix=f".{folder.name}."))
    new, old = scratch / "new", scratch / "old"
    try:
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(scratch, ignore_errors=True)


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"Cannot write a checkpoint to {str(folder)!r}: it is a file; name a folder.")
    others = sorted({path.name for path in folder.glob("*")} - {CONFIG, WEIGHTS, CARD})
    if others:
        raise CheckpointError(
            f"Cannot write a checkpoint to {str(folder)!r}: other files there ({', '.join(others[:3])}) "
            "would be lost. Expected a new folder, or one that holds a checkpoint alone."
        )


def _stored(weights: Mapping[str, Tensor], store_dtype: StoreDtype) -> dict[str, Tensor]:
    dtype = getattr(torch, store_dtype)
    stored = {key: tensor.detach().to("cpu", dtype).contiguous() for key, tensor in weights.items()}
    advice = "store float32 or bfloat16 if float16 is too narrow; otherwise the training has diverged"
    check_finite(stored, f"The weights as {store_dtype}", advice)
    return stored


def _card_text(config: ModelConfig, card: ModelCard, stored: Mapping[str, Tensor], sha256: str) -> str:
    parameters = sum(tensor.numel() for tensor in stored.values())
    dtype = str(next(iter(stored.values())).dtype).removeprefix("torch.")
    height, width = config.size
    settings = [f"- {_line(key)}: {_line(value)}" for key, value in card.settings.items()]
    notes = [_line(line) for line in card.notes[:NOTES].splitlines()]
    text = f"""\
# {_line(config.name)}

A denoising diffusion model for dmix.

- role: {config.role}
- paints: {height} x {width} pixels, {config.image_channels} image and {config.mask_channels} mask channels
- predicts: {config.prediction}, {config.variance} variance
- noise: {config.noise.kind}, {config.noise.steps} steps
- training data: {_line(card.data)}
- training steps: {"not known" if card.steps is None else card.steps}
- parameters: {parameters:,}, stored as {dtype}
- licence: {_line(card.licence)}
- sha256 of {WEIGHTS}: {sha256}

## Made with

    {_line(card.command)}
"""
    return "\n".join([text, *settings, "", *notes]).rstrip() + "\n"


def _line(given: object) -> str:
    """As one line of a card that prints: a field with line ends could state facts of its own."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(given)[:LINE]).split())


# ---- reading ----------------------------------------------------------------------------------------------


def load(name_or_folder: str | Path, device: str | torch.device = "cpu", dtype: Dtype = "float32") -> NetworkDenoiser:
    """The denoiser of a bundled model (see `bundled`) or of a checkpoint folder.

    Raises:
        CheckpointError: no such model, or a checkpoint that is damaged or does not fit its config.
    """
    folder = find(name_or_folder)
    config = read_config(folder)
    source = f"The weights in {str(folder / WEIGHTS)!r}"
    network = build(config.network, read_weights(folder), source)
    check_finite(network.state_dict(), source, "train again with a lower learning rate")
    network = network.requires_grad_(False)
    facts = card_facts(read_card(folder))
    return NetworkDenoiser(config, network, dtype=dtype, sha256=check_sum(folder), card=facts).to(device)


def bundled() -> list[str]:
    """The names of the models that come with this package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))


def find(name_or_folder: str | Path) -> Path:
    """The folder of a bundled model, by name, or the given one; ./NAME is a folder named like a model."""
    name = str(name_or_folder)
    if name in bundled():
        return BUNDLED / name
    if Path(name_or_folder).is_dir():
        return Path(name_or_folder)
    if name in RETIRED:
        raise CheckpointError(f"No model {name!r}: {RETIRED[name]}")
    raise CheckpointError(
        f"No model {name!r}: it is neither a bundled model nor a folder.{did_you_mean(name, bundled())} "
        f"Bundled models: {', '.join(bundled()) or 'none'}. {_EXPECTED}"
    )


def read_config(folder: str | Path) -> ModelConfig:
    """The config of a checkpoint folder."""
    path = Path(folder) / CONFIG
    try:
        return ModelConfig.model_validate_json(read_limited(path, LIMIT))
    except OSError as error:
        raise CheckpointError(f"Cannot read {str(path)!r} ({error.strerror}). {_EXPECTED}") from error
    except ValidationError as error:
        raise CheckpointError(f"{str(path)!r} is not a model config: {_first_problem(error)}") from error


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """The weights of a checkpoint folder as they are stored; memory is taken for those that are read."""
    path = Path(folder) / WEIGHTS
    try:
        if path.exists() and not path.is_file():  # a pipe or a device may never end
            raise OSError("not a regular file")
        return safetensors.torch.load_file(path)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"Cannot read {str(path)!r} ({reason}). {_EXPECTED}") from error
    except (SafetensorError, ValueError, KeyError) as error:  # the latter two for types that torch has no name for
        raise CheckpointError(f"{str(path)!r} is damaged or not a safetensors file ({error}). {_AGAIN}") from error


_EXPECTED = f"A checkpoint is a folder with {CONFIG} and {WEIGHTS}; guided-diffusion's .pt files have to be imported."
_AGAIN = "Copy or download the checkpoint again."


def read_card(folder: str | Path) -> str:
    """The model card of a checkpoint folder; empty if there is none."""
    path = Path(folder) / CARD
    try:
        return read_limited(path, LIMIT).decode() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"Cannot read the model card {str(path)!r} ({error}). {_AGAIN}") from error


def card_facts(card: str) -> dict[str, str]:
    """What a model card states in its first list, such as its licence."""
    head = card.partition("\n## ")[0]
    return dict(re.findall(r"^- ([^:\n]+): (.+)$", head, re.MULTILINE))


def check_sum(folder: str | Path) -> str:
    """The sha256 of a checkpoint folder's weights, held against the one that its model card states."""
    weights = Path(folder) / WEIGHTS
    stated = re.search(rf"^- sha256 of {WEIGHTS}: ([0-9a-f]{{64}})$", read_card(folder), re.MULTILINE)
    with weights.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if stated and stated[1] != actual:
        raise CheckpointError(
            f"{str(weights)!r} has the sha256 {actual[:16]}..., but the model card {CARD} beside it states "
            f"{stated[1][:16]}...: the weights were changed or damaged. {_AGAIN}"
        )
    return actual


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        *parent, key = map(str, problem["loc"])
        fields = (NoiseConfig if parent == ["noise"] else ModelConfig).model_fields
        return f"unknown key {where!r}.{did_you_mean(key, fields)}"
    return f"{where}: {problem['msg']}." if where else f"{problem['msg']}."
