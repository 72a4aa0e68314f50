"""A model without its weights: what it paints, how its noise runs, its network, and how its output is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from dmix_core.noise import NoiseSchedule, PredictionType
from dmix_core.protocols import Spec
from dmix_data.batches import ANY
from dmix_data.datasets import NONE, OBJECT

from .migration import migrated
from .networks import AnyNetwork

Role = Literal["background", "object"]
Variance = Literal["fixed-small", "fixed-large", "learned-range"]
Side = Annotated[int, Field(gt=0, le=16_384)]
Count = Annotated[int, Field(gt=0, le=1024)]

LINEAR_STEPS = 21
"""The fewest for which linear betas stay below 1."""


class NoiseConfig(BaseModel):
    """The noise schedule that the model was trained with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["linear", "cosine"] = "linear"
    steps: int = Field(1000, gt=0, le=100_000)

    @model_validator(mode="after")
    def _betas_stay_below_one(self) -> Self:
        if self.kind == "linear" and self.steps < LINEAR_STEPS:
            raise ValueError(f"linear noise has {self.steps} steps; expected {LINEAR_STEPS} or more, or cosine noise")
        return self

    def schedule(self) -> NoiseSchedule:
        make = {"linear": NoiseSchedule.linear, "cosine": NoiseSchedule.cosine}[self.kind]
        return make(self.steps)


class ModelConfig(BaseModel):
    """Everything about a model but its weights; the `config.json` of a checkpoint.

    `size` is (height, width) in pixels. `grey` states that the training images were grey, so that what it
    paints may be written as grey. `classes` names the labels of a class-conditional network, in their order. `pairs`
    states that the class "none" among them is of windows that show no object, see `DataOptions.pairs`.
    `network` is of the family that its `kind` names (see `networks`). Configs of format 1 are read as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[2] = 2
    name: str = Field(min_length=1, max_length=255)
    role: Role
    size: tuple[Side, Side]
    image_channels: Count = 3
    mask_channels: Literal[0, 1] = 0
    grey: bool = False
    classes: tuple[str, ...] = ()
    pairs: bool = False
    noise: NoiseConfig = NoiseConfig()
    prediction: PredictionType = "epsilon"
    variance: Variance = "fixed-small"
    network: AnyNetwork

    @model_validator(mode="before")
    @classmethod
    def _of_any_format(cls, config: Any) -> Any:
        return migrated(config) if isinstance(config, Mapping) else config

    @model_serializer(mode="wrap")
    def _pairs_where_there_are_some(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = fields(self)
        return {key: value for key, value in data.items() if value or key != "pairs"}  # earlier configs have none

    @property
    def object_classes(self) -> tuple[str, ...]:
        """The classes that can be composed: all but that of windows without an object."""
        return tuple(name for name in self.classes if not (self.pairs and name == NONE))

    @property
    def learned_classes(self) -> tuple[str, ...]:
        """The classes of the data set that it learned from; () for all of them as one."""
        learned = tuple(name for name in self.object_classes if name != ANY)
        return () if self.pairs and learned == (OBJECT,) else learned

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
        if (self.network.in_channels, self.network.out_channels) != (channels, outputs):
            raise ValueError(
                f"the network has in_channels {self.network.in_channels} and out_channels {self.network.out_channels}; "
                f"{self.image_channels} image and {self.mask_channels} mask channels with {self.variance} "
                f"variance need {channels} and {outputs}"
            )
        return self

    @model_validator(mode="after")
    def _size_divides(self) -> Self:
        if any(side % self.network.multiple for side in self.size):
            raise ValueError(
                f"size is {self.size[0]} x {self.size[1]}; the network needs sides that are multiples of "
                f"{self.network.multiple}"
            )
        return self

    @model_validator(mode="after")
    def _pairs_have_a_class(self) -> Self:
        if self.pairs and NONE not in self.classes:
            raise ValueError(f"pairs is true and classes lacks {NONE!r}, which its windows without an object are of")
        return self

    @model_validator(mode="after")
    def _every_class_has_a_name(self) -> Self:
        different = len(set(self.classes))
        if not len(self.classes) == different == (self.network.num_classes or 0):
            raise ValueError(
                f"classes has {len(self.classes)} names ({different} different) and network.num_classes is "
                f"{self.network.num_classes}: each class needs one name of its own"
            )
        return self
