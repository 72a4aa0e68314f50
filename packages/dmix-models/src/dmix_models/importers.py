"""Import of guided-diffusion's `.pt` checkpoints, with presets for the public ones.

A `.pt` holds weights and no config; heads, qkv order and noise schedule leave no trace in it. The presets state
them, from guided-diffusion's README, under the names of the published files.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmix_core.errors import did_you_mean

from .checkpoint import ModelCard, StoreDtype, save
from .config import ModelConfig
from .unet import UNetConfig
from .weights import CheckpointError, mismatch, shapes_in, shapes_of


def _preset(
    name: str,
    size: int,
    channel_mult: tuple[float, ...],
    *,
    classes: int = 0,
    noise: str = "linear",
    **unet: Any,
) -> ModelConfig:
    common = {"num_res_blocks": 2, "model_channels": 256, "qkv_order": "legacy", "num_head_channels": 64}
    return ModelConfig(
        name=name,
        role="background",
        size=(size, size),
        classes=tuple(map(str, range(classes))),
        noise={"kind": noise},
        variance="learned-range",
        network=UNetConfig(
            in_channels=3,
            out_channels=6,
            channel_mult=channel_mult,
            attention_downsamples=(size // 32, size // 16, size // 8),
            num_classes=classes or None,
            **{**common, **unet},
        ),
    )


_MULT_256 = (1, 1, 2, 2, 4, 4)

PRESETS: dict[str, ModelConfig] = {
    preset.name: preset
    for preset in [
        _preset("256x256_diffusion_uncond", 256, _MULT_256),
        _preset("256x256_diffusion", 256, _MULT_256, classes=1000),
        _preset("512x512_diffusion", 512, (0.5, 1, 1, 2, 2, 4, 4), classes=1000),
        _preset("128x128_diffusion", 128, (1, 1, 2, 3, 4), classes=1000, num_head_channels=None, num_heads=4),
        _preset(
            "64x64_diffusion",
            64,
            (1, 2, 3, 4),
            classes=1000,
            noise="cosine",
            model_channels=192,
            num_res_blocks=3,
            qkv_order="new",
            dropout=0.1,
        ),
        _preset("lsun_bedroom", 256, _MULT_256, dropout=0.1),
        _preset("lsun_cat", 256, _MULT_256, dropout=0.1),
        _preset("lsun_horse", 256, _MULT_256, dropout=0.1),
        _preset("lsun_horse_nodropout", 256, _MULT_256),
    ]
}


def import_guided(
    path: str | Path,
    preset: str | ModelConfig,
    folder: str | Path,
    card: ModelCard | None = None,
    store_dtype: StoreDtype = "float32",
) -> Path:
    """Make a checkpoint folder of guided-diffusion's `.pt` file.

    Args:
        preset: a name in PRESETS, or the config of a network that was trained otherwise.
        card: where the model comes from; by default, that it was imported.

    Raises:
        CheckpointError: no such preset or file, not a plain state dict, or weights that do not fit.
    """
    config = find_preset(preset) if isinstance(preset, str) else preset
    weights = read_pt(path)
    problem = mismatch(shapes_in(weights), config.network)
    if problem:
        raise CheckpointError(f"{str(path)!r} does not fit {config.name!r}: {problem} {_what_fits(weights)}")
    return save(folder, config, weights, card or _imported(path, config), store_dtype)


def find_preset(name: str) -> ModelConfig:
    """The config of a public checkpoint, by the name of its file without `.pt`."""
    if name not in PRESETS:
        raise CheckpointError(
            f"No preset {name!r}.{did_you_mean(name, PRESETS)} Presets: {', '.join(PRESETS)}. "
            "For a network that was trained otherwise, give its config."
        )
    return PRESETS[name]


def read_pt(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a `.pt` file; anything but plain tensors is refused."""
    try:
        _check_size(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"Cannot read {str(path)!r} ({error.strerror}). Expected a .pt file.") from error
    except Exception as error:  # the restricted unpickler meets damage with errors of any type
        kind = type(error).__name__  # not its text, which advises to unpickle anything
        raise CheckpointError(
            f"{str(path)!r} is damaged, or holds more than tensors ({kind}). Expected a plain state dict, which is "
            "all that is ever unpickled: download it again, or save model.state_dict() alone."
        ) from error
    if not isinstance(weights, Mapping) or not all(map(_is_weight, weights.items())):
        raise CheckpointError(
            f"{str(path)!r} holds {_describe(weights)}; expected a plain state dict, names to tensors: "
            "save model.state_dict() alone."
        )
    return dict(weights)


def _check_size(path: str | Path) -> None:
    """Nothing that is larger in memory than on disk is read: torch.save never compresses."""
    if not Path(path).is_file() and Path(path).exists():
        raise CheckpointError(f"{str(path)!r} is not a regular file. Expected a .pt file.")
    if not zipfile.is_zipfile(path):  # torch's format before 1.6, which cannot be compressed
        return
    with zipfile.ZipFile(path) as archive:
        packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
        size = sum(entry.file_size for entry in archive.infolist())
    if packed or size > Path(path).stat().st_size:
        raise CheckpointError(
            f"{str(path)!r} is compressed: it would take {size:,} bytes of memory. Expected a file as torch.save "
            "writes it: load it with torch where you trust it, and save it again."
        )


def _is_weight(item: tuple[object, object]) -> bool:
    key, value = item
    return isinstance(key, str) and isinstance(value, Tensor)


def _describe(thing: object) -> str:
    if isinstance(thing, Mapping):
        keys = [key[:40] if isinstance(key, str) else f"a {type(key).__name__}" for key in [*thing][:3]]
        return f"a dict of {', '.join(keys)}"
    return f"a {type(thing).__name__}"


def _what_fits(weights: Mapping[str, Tensor]) -> str:
    given = shapes_in(weights)
    fitting = [name for name, preset in PRESETS.items() if shapes_of(preset.network) == given]
    return f"The weights fit the preset {' or '.join(fitting)}." if fitting else "The weights fit none of the presets."


def _imported(path: str | Path, config: ModelConfig) -> ModelCard:
    return ModelCard(
        data=f"that of guided-diffusion's {config.name}",
        command=f'import_guided("{Path(path).name}", "{config.name}", ...)',
        licence=f"that of {Path(path).name}; the import changes nothing",
    )
