"""What a page asks for, as it is sent: a background, boxes and settings, all by ids that the page was given."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from dmix_core.limits import HIGHEST_SEED, LONGEST_SIDE, MOST_STEPS

from .limits import MOST_BOXES, MOST_VARIANTS

Coordinate = Annotated[int, Field(ge=0, le=LONGEST_SIDE)]
Length = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Id = Annotated[str, Field(min_length=1, max_length=200)]
Values = Annotated[dict[str, JsonValue], Field(max_length=50)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PlacedBox(_Part):
    """A box (x, y, width, height) in pixels of the canvas, and the id of the model that paints it."""

    model: Id
    box: tuple[Coordinate, Coordinate, Length, Length]


class Chosen(_Part):
    """A plugin in the place of the one that is used by default, with its settings."""

    name: Id
    settings: Values = {}


class Wrap(_Part):
    """A wrapper around the background's model, or around those of all objects."""

    name: Id
    around: Literal["background", "objects"]
    settings: Values = {}


class Scene(_Part):
    """One composition.

    Attributes:
        background: the id of a model, or of a photograph that was sent.
        objects: from bottom to top.
        listen_from: of the objects; None: `merge_from`.
        plugins: by kind, such as "merge rule".
        models: settings of models, by their ids.
    """

    background: Id
    objects: tuple[PlacedBox, ...] = Field(min_length=1, max_length=MOST_BOXES)
    seed: int = Field(0, ge=0, le=HIGHEST_SEED - MOST_VARIANTS)
    steps: int = Field(100, ge=1, le=MOST_STEPS)
    merge_from: Fraction = 0.9
    listen_from: Fraction | None = None
    plugins: dict[str, Chosen] = {}
    wraps: tuple[Wrap, ...] = Field((), max_length=16)
    models: dict[Id, Values] = {}


class Order(_Part):
    """A composition, in variants: each has a seed of its own, from the scene's on."""

    scene: Scene
    variants: int = Field(1, ge=1, le=MOST_VARIANTS)
