"""What a user may set when data are read and cut, each with its bounds and its default."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .mask_rules import parse

Split = Literal["train", "val", "test"]
Part = Literal["train", "val", "test", "all"]
OnError = Literal["fail", "skip"]

LARGEST_SIDE = 8192
"""The most pixels across or down of a crop."""


def _rule(rule: str) -> str:
    parse(rule)
    return rule


def _default(text: str, **more: str) -> dict[str, Any]:
    """What help texts show in place of a default of None, and of the name of its type."""
    return {"default": text, **more}


class DataOptions(BaseModel):
    """Which pictures of a data set are read, how their masks are, and which parts of a mask are objects.

    Raises:
        DataError: `mask_rule` is none.
        pydantic.ValidationError: a value out of bounds, NaN or infinity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    layout: str | None = Field(
        None,
        description="How the folder is laid out.",
        json_schema_extra=_default("found out; see dmix data inspect", metavar="NAME"),
    )
    split: Part = Field("train", description="The part of a divided data set to learn from.")
    every: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="Of each group of pictures of one thing, such as the frames of a clip, take every N-th.",
        json_schema_extra={"metavar": "N"},
    )
    on_error: OnError = Field(
        "fail", description="Refuse pictures that cannot be used, or leave them out and list them."
    )
    scale: float = Field(
        1.0, gt=0, le=1, description="Shrink the pictures by this factor first; 1 leaves them as they are."
    )
    mask_rule: Annotated[str, AfterValidator(_rule)] | None = Field(
        None,
        description="Which mask values are the object: threshold:N, nonzero, index:N.",
        json_schema_extra=_default("the layout's own"),
    )
    mask_suffix: str | None = Field(
        None,
        max_length=64,
        description="What a mask's stem has after its picture's, where these are matched by name.",
        json_schema_extra=_default("nothing, _mask, ..."),
    )
    classes: tuple[str, ...] | None = Field(
        None, description="Take objects of these classes alone.", json_schema_extra=_default("all")
    )
    min_area: int = Field(
        16, ge=1, le=100_000_000, description="Parts of a mask with fewer pixels than this are noise, and left out."
    )
    merge_distance: int = Field(
        4, ge=1, le=1024, description="Parts of a mask at most this many pixels apart are one object; 1 means touching."
    )
    split_touching: int = Field(
        0,
        ge=0,
        le=64,
        description="Split parts of a mask where they are at most twice this many pixels wide, so that touching objects"
        " come apart; merge_distance is then 1. 0 splits nothing, and what the data set itself numbers is not split.",
        json_schema_extra={"metavar": "PIXELS"},
    )
    min_aspect: float = Field(
        0.0, ge=0, le=1000, description="Leave objects out whose width over height is smaller than this."
    )
    max_aspect: float = Field(
        1000.0, gt=0, le=1000, description="Leave objects out whose width over height is larger than this."
    )
    max_occlusion: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Leave objects out of whose outline other objects touch a larger share, and may cover them; known"
        " where the data set numbers its objects, or split_touching does.",
    )
    large_objects: Literal["leave-out", "parts"] = Field(
        "leave-out",
        description="Leave out objects that no crop holds whole, or learn from crops of their parts; then compose them "
        "with the wrapper inside, which `dmix generate` does by itself.",
    )
    pairs: bool = Field(
        False,
        description="Learn, with each object, from a window of the same photograph that shows none, under a class of "
        "its own, none: so the model knows what objects stand on. It is not composed; MODEL:any stays any object. Each "
        "object is then seen half as often in as many steps.",
    )
    skip_truncated: bool = Field(
        False, description="Leave out objects that touch the border of their picture, which may cut them."
    )
    skip_small: bool = Field(False, description="Leave out what is smaller than the grid, instead of refusing it.")
    skip_empty: bool = Field(False, description="Leave out pictures whose mask is empty, instead of refusing them.")

    @model_validator(mode="after")
    def _check_aspect(self) -> Self:
        if self.min_aspect > self.max_aspect:
            raise ValueError(f"min_aspect is {self.min_aspect} and max_aspect {self.max_aspect}; expected less first")
        return self

    @property
    def leaves_out_small(self) -> bool:
        return self.skip_small or self.on_error == "skip"

    @property
    def leaves_out_empty(self) -> bool:
        return self.skip_empty or self.on_error == "skip"


FILTERS = ("min_aspect", "max_aspect", "max_occlusion", "skip_truncated")
"""The fields that leave objects out by how they lie in their picture."""
OBJECTS = ("min_area", "merge_distance", "split_touching", "large_objects", *FILTERS)
"""The fields that decide which parts of a mask are objects, and which of these are taken."""


class CutoutOptions(BaseModel):
    """How objects are cut out of a data set into files of their own.

    Attributes:
        size: (height, width) of the crops.
        context: the window's sides over the object's, at least and at most; with scale "native" only the least counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: tuple[Annotated[int, Field(ge=1, le=LARGEST_SIDE)], Annotated[int, Field(ge=1, le=LARGEST_SIDE)]] = Field(
        (32, 32), description="The size of the crops."
    )
    scale: Literal["native", "fit"] = Field(
        "native", description="Leave pixels as they are, or resize each object to about one size."
    )
    context: tuple[Annotated[float, Field(ge=1, le=100)], Annotated[float, Field(ge=1, le=100)]] = Field(
        (1.25, 2.0), description="A crop's sides over its object's, at least and at most."
    )
    padding: Literal["reflect", "edge"] = Field(
        "reflect", description="What surrounds pictures that are smaller than a crop, and their masks."
    )
    max_padding: float = Field(
        0.25, ge=0, lt=1, description="Leave objects out whose crop has a larger share of padding."
    )
    hold_out: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Set this share aside as test part, never dividing a group of pictures of one thing.",
    )
    seed: int = Field(
        0, ge=0, lt=2**63, description="Draws the places of objects in their crops, and what is held out."
    )

    @model_validator(mode="after")
    def _check_context(self) -> Self:
        if self.context[0] > self.context[1]:
            raise ValueError(f"context is {self.context[0]} {self.context[1]}; expected the smaller factor first")
        return self
