"""dmix' UNet as a UNet2DModel and back: two constructions of one network (Dhariwal & Nichol 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from pydantic import ValidationError
from torch import Tensor

from dmix_core.protocols import Size
from dmix_models import UNetConfig

from .folder import PipelineError

Pair = tuple[str, tuple[str, ...]]
"""A module of ours, and the one of theirs, or the three that the projection to query, key and value is there."""

AS_IT_IS = "Compose with the pipeline as it is: diffusers:FOLDER."

PLAIN = "DownBlock2D", "UpBlock2D"
RESAMPLING = "ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"
ATTENDING = "AttnDownBlock2D", "AttnUpBlock2D"
CONSTANT: dict[str, Any] = {
    "act_fn": "silu",
    "add_attention": True,
    "center_input_sample": False,
    "class_embed_type": None,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2D",
    "norm_eps": 1e-5,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
}


# ---- configs --------------------------------------------------------------------------------------------------


def unet2d_config(config: UNetConfig, size: Size) -> dict[str, Any]:
    """The arguments of UNet2DModel that build the same network.

    Raises:
        PipelineError: UNet2DModel has no such network, and why.
    """
    if config.widths[0] != config.model_channels:
        raise PipelineError(
            f"The network's channel_mult starts with {config.channel_mult[0]:g}, so that its finest level has "
            f"{config.widths[0]} channels and its time embedding {config.model_channels}; "
            "UNet2DModel has one number for both: it needs a channel_mult that starts with 1."
        )
    if config.num_heads_upsample not in (None, config.num_heads) and not config.num_head_channels:
        raise PipelineError(
            f"The network has num_heads_upsample = {config.num_heads_upsample} and num_heads = {config.num_heads}; "
            "UNet2DModel has one number for both halves."
        )
    plain = RESAMPLING if config.resblock_updown else PLAIN
    kinds = [ATTENDING if _attends(config, level) else plain for level in range(len(config.widths))]
    return CONSTANT | {
        "sample_size": size[0] if size[0] == size[1] else size,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": config.widths,
        "down_block_types": tuple(down for down, _ in kinds),
        "up_block_types": tuple(up for _, up in reversed(kinds)),
        "layers_per_block": config.num_res_blocks,
        "downsample_type": "resnet" if config.resblock_updown else "conv",
        "upsample_type": "resnet" if config.resblock_updown else "conv",
        "resnet_time_scale_shift": "scale_shift" if config.scale_shift_norm else "default",
        "attention_head_dim": _head_width(config),
        "norm_num_groups": config.norm_groups,
        "attn_norm_num_groups": config.norm_groups,
        "num_class_embeds": config.num_classes,
        "dropout": config.dropout,
    }


def _head_width(config: UNetConfig) -> int | None:
    """UNet2DModel's attention_head_dim: one width of a head for all levels, or None for one head at each."""
    attending = {2**level: width for level, width in enumerate(config.widths)}
    widths = {attending[factor] for factor in (*config.attention_downsamples, config.coarsest)}
    heads = {width // config.heads(width) for width in widths}
    if len(heads) == 1:
        return heads.pop()
    if config.num_heads == 1:
        return None
    raise PipelineError(
        f"The network splits attention on {', '.join(map(str, sorted(widths)))} channels into {config.num_heads} heads "
        "each; UNet2DModel gives all heads one width (attention_head_dim), whatever the channels: "
        "it needs num_head_channels, or one head."
    )


def grid_size(sample_size: int | Sequence[int] | None, height: int | None = None, width: int | None = None) -> Size:
    """(height, width) of a network's grid, as its sample_size states it or as they are given.

    Raises:
        PipelineError: neither states it.
    """
    rows, columns = (sample_size, sample_size) if isinstance(sample_size, int) else sample_size or (0, 0)
    size = height or rows, width or columns
    if not all(size):
        raise PipelineError(
            "The network's config has sample_size = None; expected the size of its grid: "
            "--set REGION.height=64 --set REGION.width=64."
        )
    return size


def unet_config(theirs: Mapping[str, Any]) -> UNetConfig:
    """The config of our UNet that builds the network of a UNet2DModel's config.

    Raises:
        PipelineError: which of its keys our UNet has no equivalent for.
    """
    widths, downs = theirs["block_out_channels"], theirs["down_block_types"]
    width, conv = theirs["attention_head_dim"], theirs["downsample_type"] == "conv"
    try:
        ours = UNetConfig(
            in_channels=theirs["in_channels"],
            out_channels=theirs["out_channels"],
            model_channels=widths[0],
            num_res_blocks=theirs["layers_per_block"],
            attention_downsamples=tuple(2**level for level, name in enumerate(downs) if name == ATTENDING[0]),
            channel_mult=tuple(each / widths[0] for each in widths),
            num_head_channels=width,
            scale_shift_norm=theirs["resnet_time_scale_shift"] == "scale_shift",
            resblock_updown=not conv,
            num_classes=theirs["num_class_embeds"],
            norm_groups=theirs["norm_num_groups"],
            dropout=theirs["dropout"],
        )
    except ValidationError as error:
        raise PipelineError(f"Our UNet cannot be built as this UNet2DModel is: {error.errors()[0]['msg']}.") from error
    check_same(theirs, unet2d_config(ours, (1, 1)))
    return ours


def check_same(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """The network that our config builds must be theirs, in every key."""
    given = dict(theirs)
    if given["attn_norm_num_groups"] is None and given["resnet_time_scale_shift"] == "default":
        given["attn_norm_num_groups"] = given["norm_num_groups"]
    for key in sorted(ours.keys() - {"sample_size", "attention_head_dim"}):
        value = tuple(given[key]) if isinstance(given[key], list) else given[key]
        if value != ours[key]:
            raise PipelineError(
                f"The UNet2DModel has {key} = {value!r}; dmix' UNet has {ours[key]!r} there. {AS_IT_IS}"
            )


# ---- weights --------------------------------------------------------------------------------------------------


def to_unet2d(weights: Mapping[str, Tensor], config: UNetConfig) -> dict[str, Tensor]:
    """Our UNet's state dict as a UNet2DModel's."""
    theirs: dict[str, Tensor] = {}
    for ours, names, kind in _parameters(config):
        if (whole := weights.get(f"{ours}.{kind}")) is None:
            continue
        flat = whole.squeeze(-1) if whole.ndim == 3 else whole  # a Conv1d of ours is a Linear of theirs
        parts = [flat] if len(names) == 1 else _split(flat, config)
        theirs |= {f"{name}.{kind}": part.contiguous() for name, part in zip(names, parts, strict=True)}
    return theirs


def from_unet2d(weights: Mapping[str, Tensor], config: UNetConfig) -> dict[str, Tensor]:
    """A UNet2DModel's state dict as our UNet's."""
    made: dict[str, Tensor] = {}
    for ours, names, kind in _parameters(config):
        if f"{names[0]}.{kind}" not in weights:
            continue
        parts = [weights[f"{name}.{kind}"] for name in names]
        whole = parts[0] if len(names) == 1 else _joined(parts, config)
        made[f"{ours}.{kind}"] = (whole[..., None] if f"{ours}.{kind}".endswith(CONV1D) else whole).contiguous()
    return made


CONV1D = ("qkv.weight", "proj_out.weight")

# the 3C channels of our projection, and the C channels of each of their three
_THEIRS = "three (heads c) ..."
_OURS = {"legacy": "(heads three c) ...", "new": "(three heads c) ..."}


def _split(qkv: Tensor, config: UNetConfig) -> list[Tensor]:
    heads = config.heads(len(qkv) // 3)
    return [*rearrange(qkv, f"{_OURS[config.qkv_order]} -> {_THEIRS}", three=3, heads=heads)]


def _joined(parts: Sequence[Tensor], config: UNetConfig) -> Tensor:
    heads = config.heads(len(parts[0]))
    return rearrange(torch.stack([*parts]), f"{_THEIRS} -> {_OURS[config.qkv_order]}", heads=heads)


def _parameters(config: UNetConfig) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Every module of ours and theirs, with each kind of parameter that it may have."""
    for ours, theirs in _modules(config):
        yield ours, theirs, "weight"
        yield ours, theirs, "bias"


def _modules(config: UNetConfig) -> Iterator[Pair]:
    """Modules that ours may have with those of theirs, in the order in which an image passes them."""
    yield "time_embed.0", ("time_embedding.linear_1",)
    yield "time_embed.2", ("time_embedding.linear_2",)
    yield "label_emb", ("class_embedding",)
    yield "input_blocks.0.0", ("conv_in",)
    coarsest, block = len(config.widths) - 1, 1
    for level in range(coarsest + 1):
        for i in range(config.num_res_blocks):
            yield from _layers(config, level, f"input_blocks.{block}", f"down_blocks.{level}", i)
            block += 1
        if level < coarsest:
            yield from _resampler(f"input_blocks.{block}.0", f"down_blocks.{level}.downsamplers.0", "op")
            block += 1

    yield from _resnet("middle_block.0", "mid_block.resnets.0")
    yield from _attention("middle_block.1", "mid_block.attentions.0")
    yield from _resnet("middle_block.2", "mid_block.resnets.1")

    for level in reversed(range(coarsest + 1)):
        up, first = f"up_blocks.{coarsest - level}", (coarsest - level) * (config.num_res_blocks + 1)
        for i in range(config.num_res_blocks + 1):
            yield from _layers(config, level, f"output_blocks.{first + i}", up, i)
        last = f"output_blocks.{first + config.num_res_blocks}.{1 + _attends(config, level)}"
        if level:
            yield from _resampler(last, f"{up}.upsamplers.0", "conv")
    yield "out.0", ("conv_norm_out",)
    yield "out.2", ("conv_out",)


def _layers(config: UNetConfig, level: int, ours: str, theirs: str, i: int) -> Iterator[Pair]:
    yield from _resnet(f"{ours}.0", f"{theirs}.resnets.{i}")
    if _attends(config, level):
        yield from _attention(f"{ours}.1", f"{theirs}.attentions.{i}")


def _resampler(ours: str, theirs: str, conv: str) -> Iterator[Pair]:
    """A residual block or a convolution; only one of them is there."""
    yield from _resnet(ours, theirs)
    yield f"{ours}.{conv}", (f"{theirs}.conv",)


def _resnet(ours: str, theirs: str) -> Iterator[Pair]:
    yield f"{ours}.in_layers.0", (f"{theirs}.norm1",)
    yield f"{ours}.in_layers.2", (f"{theirs}.conv1",)
    yield f"{ours}.emb_layers.1", (f"{theirs}.time_emb_proj",)
    yield f"{ours}.out_layers.0", (f"{theirs}.norm2",)
    yield f"{ours}.out_layers.3", (f"{theirs}.conv2",)
    yield f"{ours}.skip_connection", (f"{theirs}.conv_shortcut",)


def _attention(ours: str, theirs: str) -> Iterator[Pair]:
    yield f"{ours}.norm", (f"{theirs}.group_norm",)
    yield f"{ours}.qkv", (f"{theirs}.to_q", f"{theirs}.to_k", f"{theirs}.to_v")
    yield f"{ours}.proj_out", (f"{theirs}.to_out.0",)


def _attends(config: UNetConfig, level: int) -> bool:
    return 2**level in config.attention_downsamples
