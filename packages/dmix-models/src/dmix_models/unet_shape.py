"""How a UNet is made: its widths, levels, blocks and heads."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from . import unet_weights
from .networks import NetworkConfig, Shapes

QkvOrder = Literal["legacy", "new"]
Width = Annotated[int, Field(gt=0, le=8192)]
Blocks = Annotated[int, Field(gt=0, le=32)]
Factor = Annotated[float, Field(gt=0, le=64)]
LEVELS = 12  # at most
MOST_CHANNELS = 8192  # of a level


class UNetShape(NetworkConfig):
    """How a UNet is made, in guided-diffusion's words where it has them.

    Level i works with channel_mult[i] * model_channels channels on an image downsampled by 2**i. Attention
    sits in the middle and follows every residual block at the factors in `attention_downsamples`.
    `num_head_channels` is the width of a head; None splits the channels into `num_heads` instead, and in the upward
    half into `num_heads_upsample`, if it is given. Heads and `qkv_order` leave no trace in the weights: a wrong choice
    loads and is silently wrong.
    """

    kind: Literal["unet"] = "unet"
    model_channels: Width
    num_res_blocks: Blocks = 2
    attention_downsamples: tuple[int, ...] = Field((), max_length=LEVELS)
    channel_mult: tuple[Factor, ...] = Field((1, 2, 2), min_length=1, max_length=LEVELS)
    num_heads: Width = 1
    num_heads_upsample: Width | None = None
    num_head_channels: Width | None = None
    scale_shift_norm: bool = True
    resblock_updown: bool = True
    qkv_order: QkvOrder = "new"
    norm_groups: Width = 32

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each level, finest first."""
        return tuple(int(mult * self.model_channels) for mult in self.channel_mult)

    @property
    def coarsest(self) -> int:
        """The downsampling factor of the last level; the sides of an image must be multiples of it."""
        return int(2 ** (len(self.channel_mult) - 1))

    @property
    def multiple(self) -> int:
        return self.coarsest

    def heads(self, width: int, up: bool = False) -> int:
        """Attention heads on that many channels; `up`: in the upward half of the network."""
        if self.num_head_channels:
            return width // self.num_head_channels
        return (self.num_heads_upsample if up else None) or self.num_heads

    def likely_cause(self, given: Shapes, expected: Shapes) -> str:
        return unet_weights.likely_cause(given, expected)

    @model_validator(mode="after")
    def _out_channels_are_one_or_two_per_input(self) -> Self:
        if self.out_channels not in (self.in_channels, 2 * self.in_channels):
            raise ValueError(
                f"out_channels is {self.out_channels}; expected in_channels = {self.in_channels}, or "
                f"{2 * self.in_channels} where the network predicts its variance as well"
            )
        return self

    @model_validator(mode="after")
    def _widths_divide_into_groups(self) -> Self:
        if self.model_channels % 2:
            raise ValueError(f"model_channels is {self.model_channels}; the time embedding needs an even number")
        for width in self.widths:
            if width > MOST_CHANNELS:
                raise ValueError(f"channel_mult makes a level of {width} channels; expected at most {MOST_CHANNELS}")
            if width == 0 or width % self.norm_groups:
                raise ValueError(
                    f"{width} channels cannot be normalised in norm_groups = {self.norm_groups} groups; "
                    "expected multiples of it at every level: try fewer groups (8 suits small networks)"
                )
        return self

    @model_validator(mode="after")
    def _attention_fits(self) -> Self:
        widths = {2**level: width for level, width in enumerate(self.widths)}
        for factor in self.attention_downsamples:
            if factor not in widths:
                raise ValueError(
                    f"attention_downsamples has {factor}; the levels of channel_mult have the factors "
                    f"{', '.join(map(str, widths))} (image size / guided-diffusion's attention_resolutions)"
                )
        for factor in {*self.attention_downsamples, self.coarsest}:
            for name in ("num_head_channels",) if self.num_head_channels else ("num_heads", "num_heads_upsample"):
                if widths[factor] % (getattr(self, name) or 1):
                    raise ValueError(
                        f"{name} = {getattr(self, name)} cannot split attention on {widths[factor]} channels; "
                        f"expected a divisor of {widths[factor]}"
                    )
        return self
