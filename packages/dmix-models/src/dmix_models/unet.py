"""The DDPM UNet of guided-diffusion (Dhariwal & Nichol 2021, "Diffusion Models Beat GANs"), key for key.

Modules stand in their `nn.Sequential` where guided-diffusion has them, so that its weights load as they are.
Its weights are in channels_last memory, and so is every activation from the first convolution on.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmix_core.backends import Network
from dmix_core.errors import DenoiserError

from .unet_blocks import (
    Attention,
    Parts,
    ResBlock,
    SiLU,
    Stage,
    attention,
    channels_last,
    conv3x3,
    downsample,
    norm,
    upsample,
    zeroed,
)
from .unet_inference import UNetInference
from .unet_shape import UNetShape


class UNetConfig(UNetShape):
    """What a UNet needs to be built."""

    def build(self) -> UNet:
        return UNet(self)


class UNet(Parts):
    """Predicts epsilon, x0 or v of a noisy image and, for learned-range variance, as many channels again."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        base, emb = config.model_channels, 4 * config.model_channels
        self.time_embed = nn.Sequential(nn.Linear(base, emb), nn.SiLU(), nn.Linear(emb, emb))
        if config.num_classes is not None:
            self.label_emb = nn.Embedding(config.num_classes, emb)

        width = config.widths[0]
        skips = [width]
        self.input_blocks = nn.ModuleList([Stage([conv3x3(config.in_channels, width)])])
        for level, out in enumerate(config.widths):
            for _ in range(config.num_res_blocks):
                self.input_blocks.append(Stage([ResBlock(config, width, out), *attention(config, level)]))
                width = out
                skips.append(width)
            if 2**level < config.coarsest:
                self.input_blocks.append(Stage([downsample(config, width)]))
                skips.append(width)

        self.middle_block = Stage(
            [ResBlock(config, width, width), Attention(config, width), ResBlock(config, width, width)]
        )

        self.output_blocks = nn.ModuleList()
        for level, out in reversed([*enumerate(config.widths)]):
            for i in range(config.num_res_blocks + 1):
                stage = Stage([ResBlock(config, width + skips.pop(), out), *attention(config, level, up=True)])
                width = out
                if level > 0 and i == config.num_res_blocks:
                    stage.append(upsample(config, width))
                self.output_blocks.append(stage)

        self.out = nn.Sequential(norm(config, width), SiLU(), zeroed(conv3x3(width, config.out_channels)))
        channels_last(self)

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w).

        Args:
            times: (B,) counting from 0, as guided-diffusion's timesteps do; or (1,) for the whole batch,
                which is faster, because its scale and shift fold into the group norms.
            labels: (B,) or (1,) indices of classes, for a class-conditional network.
        """
        self.check(x, labels)
        emb = self.embedding(times, labels)
        h = x
        skips: list[Tensor] = []
        for stage in self.input_blocks:
            h = stage(h, emb)
            skips.append(h)
        h = self.middle_block(h, emb)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), emb)
        return self.out(h).contiguous()

    def for_inference(self) -> Network:
        """What predicts as the network does, to the bit, in less time on a CPU; it follows changes of the weights."""
        return UNetInference(self)

    def embedding(self, times: Tensor, labels: Tensor | None) -> Tensor:
        """What the residual blocks hear of the times and labels: (1 or B, 4 model_channels)."""
        emb = self.time_embed(time_embedding(times, self.config.model_channels))
        if labels is not None:
            emb = emb + self.label_emb(labels)
        return F.silu(emb)

    def check(self, x: Tensor, labels: Tensor | None) -> None:
        """Refuse what the network cannot be called with.

        Raises:
            DenoiserError: the shape of x does not fit, or labels are missing or not expected.
        """
        config = self.config
        if x.shape[1] != config.in_channels or any(side % config.coarsest for side in x.shape[2:]):
            raise DenoiserError(
                f"The network was given {tuple(x.shape)}; expected (B, {config.in_channels}, h, w) with "
                f"sides that are multiples of {config.coarsest}."
            )
        if (labels is None) != (config.num_classes is None):
            raise DenoiserError(
                f"The network was given {'no' if labels is None else 'class'} labels, but its num_classes is "
                f"{config.num_classes}: give labels to a class-conditional network, and to no other."
            )


def time_embedding(times: Tensor, channels: int) -> Tensor:
    """(B,) -> (B, channels): cosines, then sines, of wavelengths 2 pi to 20000 pi (Vaswani et al. 2017)."""
    half = channels // 2
    exponents = torch.arange(half, device=times.device, dtype=torch.float32) / half
    angles = times.float()[:, None] * torch.exp(-math.log(10000) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
