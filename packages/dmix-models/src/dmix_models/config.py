"""What a checkpoint says of its model: what it paints, how its noise runs and how its output is read."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from dmix_core.noise import NoiseSchedule, PredictionType
from dmix_core.protocols import Spec

from .unet import UNetConfig

Role = Literal["background", "object"]
Variance = Literal["fixed-small", "fixed-large", "learned-range"]


class NoiseConfig(BaseModel):
    """The noise schedule that the model was trained with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["linear", "cosine"] = "linear"
    steps: PositiveInt = 1000

    def schedule(self) -> NoiseSchedule:
        make = {"linear": NoiseSchedule.linear, "cosine": NoiseSchedule.cosine}[self.kind]
        return make(self.steps)


class ModelConfig(BaseModel):
    """Everything about a model but its weights; the `config.json` of a checkpoint.

    `size` is (height, width) in pixels. `grey` says that the training images were grey, so that what it
    paints may be written as grey. `classes` names the labels of a class-conditional network, in their order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str = Field(min_length=1)
    role: Role
    size: tuple[PositiveInt, PositiveInt]
    image_channels: PositiveInt = 3
    mask_channels: Literal[0, 1] = 0
    grey: bool = False
    classes: tuple[str, ...] = ()
    noise: NoiseConfig = NoiseConfig()
    prediction: PredictionType = "epsilon"
    variance: Variance = "fixed-small"
    unet: UNetConfig

    @property
    def spec(self) -> Spec:
        return Spec(self.size, self.image_channels, self.mask_channels, grey=self.grey)

    @model_validator(mode="after")
    def _role_fits_mask(self) -> Self:
        if self.role == "background" and self.mask_channels:
            raise ValueError("a background has no mask; set mask_channels to 0, or role to 'object'")
        return self

    @model_validator(mode="after")
    def _channels_agree(self) -> Self:
        channels = self.image_channels + self.mask_channels
        outputs = 2 * channels if self.variance == "learned-range" else channels
        if (self.unet.in_channels, self.unet.out_channels) != (channels, outputs):
            raise ValueError(
                f"unet has in_channels {self.unet.in_channels} and out_channels {self.unet.out_channels}; "
                f"{self.image_channels} image and {self.mask_channels} mask channels with {self.variance} "
                f"variance need {channels} and {outputs}"
            )
        return self

    @model_validator(mode="after")
    def _size_divides(self) -> Self:
        if any(side % self.unet.coarsest for side in self.size):
            raise ValueError(
                f"size is {self.size[0]} x {self.size[1]}; the unet's {len(self.unet.channel_mult)} levels "
                f"need sides that are multiples of {self.unet.coarsest}"
            )
        return self

    @model_validator(mode="after")
    def _every_class_has_a_name(self) -> Self:
        different = len(set(self.classes))
        if not len(self.classes) == different == (self.unet.num_classes or 0):
            raise ValueError(
                f"classes has {len(self.classes)} names ({different} different) and unet.num_classes is "
                f"{self.unet.num_classes}: each class needs one name of its own"
            )
        return self
