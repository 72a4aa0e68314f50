"""What to generate: the settings of a set, as a file, as options or in Python."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from dmix_core.errors import DmixError
from dmix_core.limits import HIGHEST_SEED, LONGEST_SIDE, MOST_PIXELS, MOST_SAMPLES, MOST_STEPS
from dmix_core.rule_presets import PRESETS, PresetName

MOST_OBJECTS = 254
"""Of one sample: as many as a mask of 8 bits tells apart, beside the background."""
MOST_SHARED = 1000
"""States of one kind that are kept in memory."""


class ConfigError(DmixError):
    """Settings of a set that cannot be understood, or that contradict each other."""


def _range(value: Any) -> Any:
    """ "1-3" as (1, 3), and "2" as (2, 2)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value, value
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([\d.]+)\s*(?:-\s*([\d.]+))?\s*", value)
    if not match:
        raise ValueError("expected a number, or a range such as 1-3")
    return match[1], match[2] or match[1]


def _object(value: Any) -> Any:
    """MODEL[@x,y,w,h][,class=NAME][,weight=W] as its parts; an @ that no four numbers follow belongs to the model."""
    if not isinstance(value, str):
        return value
    placed = re.match(r"(.+)@(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})(?=,|$)", value)
    if not placed and re.search(r"@[-+.\d\s]*,[-+.\d\s]", value):
        raise ValueError("expected MODEL@x,y,w,h in whole pixels from 0 on, such as defects:break@16,16,64,64")
    box = {"box": tuple(map(int, placed.groups()[1:]))} if placed else {}
    model, *parts = (placed[1] + value[placed.end() :] if placed else value).split(",")
    given = dict(part.partition("=")[::2] for part in parts)
    return {"model": model, **box, **{"class_name" if key == "class" else key: text for key, text in given.items()}}


def _licences(value: Any) -> Any:
    """ "[WHAT=]TEXT", or several of these, by what they are for; one without is for the set."""
    if not isinstance(value, str | list | tuple):
        return value
    texts = [value] if isinstance(value, str) else value
    pairs = (str(text).partition("=") for text in texts)
    return {what if equals else "set": (text if equals else what) for what, equals, text in pairs}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Corner = Annotated[int, Field(ge=0, le=LONGEST_SIDE)]
Share = Annotated[float, Field(ge=0, lt=1)]
CountRange = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MOST_OBJECTS)], Annotated[int, Field(ge=1, le=MOST_OBJECTS)]],
    BeforeValidator(_range),
]
FractionRange = Annotated[
    tuple[Annotated[float, Field(ge=0, le=10)], Annotated[float, Field(ge=0, le=10)]], BeforeValidator(_range)
]
SharedCounts = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MOST_SHARED)], Annotated[int, Field(ge=1, le=MOST_SHARED)]],
    BeforeValidator(lambda value: value.split("x") if isinstance(value, str) else value),
]


PATHS = {"backgrounds", "boxes", "real", "roi", "recipe"}
"""The fields that name files."""


class ObjectChoice(_Part):
    """A model of objects.

    Attributes:
        model: a reference, as `dmix compose --object` takes it.
        class_name: what detectors call it; "": the last part of the reference.
        weight: how often it is drawn, beside the other models' weights.
        size: (height, width) of its boxes; None: the model's own.
        box: (x, y, width, height) in which it is painted in every sample; None: it is drawn, and its place too.
    """

    model: Annotated[str, Field(min_length=1)]
    class_name: str = ""
    weight: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    size: tuple[Side, Side] | None = None
    box: tuple[Corner, Corner, Side, Side] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.box and self.size:
            raise ValueError("box and size exclude each other; a box states its size")
        return self


class GenerateConfig(_Part):
    """What to generate. Every field but the paths and licences decides the bytes of samples.

    Attributes:
        objects: also as text, `MODEL[@x,y,w,h][,class=NAME][,weight=W]`.
        per_image: the least and the most objects of a sample that are drawn, also as text such as "1-3".
        licence: by what each is for: "set", "photographs" or a model; also as texts `[WHAT=]TEXT`.
        timesteps: settings of the schedule, such as {"resamples": 0}.
    """

    backgrounds: str = Field(
        min_length=1, description="A model, or a folder of photographs of any size, which are used evenly."
    )
    objects: tuple[Annotated[ObjectChoice, BeforeValidator(_object)], ...] = Field(
        min_length=1, description="A model of objects, with its class and how often it is drawn."
    )
    n: int = Field(ge=1, le=MOST_SAMPLES, description="How many composites.")
    per_image: CountRange | None = Field(
        None, description="How many objects in each, such as 2 or 1-3; by default one, or all that are listed."
    )
    place: Literal["random", "measured", "foreground"] = Field(
        "random",
        description="How boxes are placed: anywhere, where and as large as objects of the real data are, or on what "
        "photographs show before a plain background.",
    )
    boxes: str | None = Field(
        None,
        description="A list of boxes in place of drawn ones: CSV (image, x, y, width, height, class) or COCO's JSON.",
    )
    real: str | None = Field(
        None,
        description="A data set with masks: the measure of places, sizes, and of what areas, contrasts and shapes are "
        "usual.",
    )
    roi: str | None = Field(None, description="A picture as large as the canvas: boxes lie where it is white.")
    min_distance: int = Field(0, ge=0, le=LONGEST_SIDE, description="The fewest pixels between two boxes.")
    max_overlap: float = Field(
        0.0, ge=0, le=1, description="The largest part of a box that another may cover, where there is no min_distance."
    )
    val: Share = Field(0.0, description="The share of backgrounds whose samples are for validation.")
    test: Share = Field(0.0, description="The share of backgrounds whose samples are for testing.")
    groups: str | None = Field(
        None,
        description="Photographs of one thing, which stand on one side: those of a `folder`, those whose paths have "
        "the same match of a regular expression, or `none`; by default the groups that the folder's layout states.",
    )
    seed: int = Field(0, ge=0, le=HIGHEST_SEED, description="Everything that is drawn derives from it.")
    preset: PresetName | None = Field(
        None,
        description="Rules for a need: the paper's, those for training detectors, or those for previews; what else is "
        "stated wins over them. In photographs the last two also state strengths of 0.7-1.6, a visible change of 4, "
        "and that what the checks turn down is drawn again.",
        json_schema_extra={"default": "recommended; with a recipe none"},
    )
    recipe: str | None = Field(None, description="A recipe whose rules are used, in the place of the preset.")
    steps: int | None = Field(None, ge=1, le=MOST_STEPS, description="T, denoising steps.")
    merge_from: float | None = Field(
        None, ge=0, le=1, description="The fraction of the denoising from which the models merge."
    )
    listen_from: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The fraction of the denoising from which objects take in what is around them.",
    )
    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="From which value of an object's mask on, between 0 and 1, a pixel is the object's.",
    )
    plugins: tuple[str, ...] = Field((), description="A merge rule, schedule or stepper by name.")
    timesteps: dict[str, JsonValue] = Field({}, description="Settings of the timestep schedule.")
    share: SharedCounts | None = Field(
        None,
        description="NxM: denoise N backgrounds and M objects once each, and combine them into N x M composites.",
    )
    twins: bool = Field(False, description="Add to each composite the same background without objects, a sample too.")
    strength: FractionRange | None = Field(
        None, description="How strong objects are beside their twins, such as 0.5-1.2; masks stay."
    )
    near_miss: FractionRange | None = Field(
        None, description="Add samples without a mask whose objects are so faint, such as 0.05-0.15."
    )
    visible_change: float = Field(
        0.0,
        ge=0,
        le=255,
        description="Label what an object changed of its twin by so many grey levels or more, means of 7x7 pixels, and "
        "what that encloses; 0: its own mask.",
    )
    min_piece: int = Field(0, ge=0, le=MOST_PIXELS, description="Pieces of masks below so many pixels are taken away.")
    fill_holes: int = Field(0, ge=0, le=MOST_PIXELS, description="Holes in masks up to so many pixels are filled.")
    min_contrast: float = Field(3.0, ge=0, le=255, description="Objects that stand out by fewer grey levels are faint.")
    reject: bool = Field(False, description="Draw samples in which the checks find something again.")
    tries: int = Field(10, ge=1, le=1000, description="How often at most; then the best one is kept, with its flags.")
    best_of: int = Field(1, ge=1, le=1000, description="Keep the best of so many draws, by the checks.")
    device: str = Field("cpu", description="Where networks compute: cpu, cuda, mps.")
    threads: int = Field(1, ge=1, le=1024, description="torch's threads in each process; they decide the last bits.")
    licence: Annotated[dict[str, str], BeforeValidator(_licences)] = Field(
        {}, description="The licence of the set, of its `photographs` or of a model; models state theirs themselves."
    )
    name: str = Field("generated", min_length=1, max_length=200, description="What the set is called.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("per_image", "strength", "near_miss"):
            given = getattr(self, name)
            if given and given[0] > given[1]:
                raise ValueError(f"{name} states the larger number first; expected the smaller one, such as 1-3")
        self._check_places()
        if self.place == "measured" and self.real is None:
            raise ValueError("place is measured; expected the data set to measure as `real`")
        if self.reject and self.best_of > 1:
            raise ValueError("reject and best_of exclude each other; state one of them")
        if self.val + self.test >= 1:
            raise ValueError("val and test leave nothing to train with; expected a sum below 1")
        if self.min_distance and self.max_overlap:
            raise ValueError("min_distance and max_overlap exclude each other; state one of them")
        return self

    def _check_places(self) -> None:
        drawing = [name for name in ("roi", "min_distance", "max_overlap") if getattr(self, name)]
        drawing += ["place"] if self.place != "random" else []
        if drawing and not self.draws_boxes:
            raise ValueError(f"{drawing[0]} states how boxes are drawn, and all are stated; leave one of them out")
        if self.per_image and not (self.boxes or self.draws_boxes):
            raise ValueError("per_image states how many objects are drawn, and all have boxes; leave one of them out")
        if self.boxes and not self.drawn:
            raise ValueError("boxes lists where objects are painted, and all have boxes; leave one of them out")
        if self.boxes and self.share:
            raise ValueError("boxes and share exclude each other; samples that share states have the same objects")

    @classmethod
    def from_data(cls, data: Mapping[str, Any], source: str = "the settings") -> Self:
        """The settings in a mapping.

        Raises:
            ConfigError: what is wrong, key by key.
        """
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise ConfigError("\n  ".join([f"Cannot understand {source}:", *problems])) from error

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, each once, in the order of the objects."""
        return tuple(dict.fromkeys(map(class_of, self.objects)))

    @property
    def drawn(self) -> tuple[int, ...]:
        """The numbers of the objects that have no box of their own."""
        return tuple(number for number, each in enumerate(self.objects) if each.box is None)

    @property
    def classes_drawn(self) -> tuple[str, ...]:
        """The names of the classes of these objects, each once."""
        return tuple(dict.fromkeys(class_of(self.objects[number]) for number in self.drawn))

    @property
    def draws_boxes(self) -> bool:
        """Whether there are objects whose places are drawn."""
        return self.boxes is None and bool(self.drawn)

    @property
    def attempts(self) -> int:
        """How often a sample is drawn at most."""
        return self.tries if self.reject else self.best_of

    @property
    def wants_twin(self) -> bool:
        """Whether something is made of the twins."""
        return self.twins or self.strength is not None or self.near_miss is not None or self.visible_change > 0

    @property
    def per_record(self) -> int:
        """How many samples a record of the plan becomes: the composite, its twin, its near-miss."""
        return 1 + self.twins + (self.near_miss is not None)

    @property
    def followed(self) -> PresetName | None:
        """The preset that holds: none where a recipe is stated alone."""
        return self.preset or (None if self.recipe else "recommended")

    def completed(self, photographs: bool) -> Self:
        """With what the preset says of generated sets, in photographs or not, where nothing else is stated."""
        more = PRESETS[self.followed].within(photographs) if self.followed else None
        reject = more is not None and more.reject and self.best_of == 1
        given = {"strength": more.strength, "visible_change": more.visible_change, "reject": reject} if more else {}
        left = {name: value for name, value in given.items() if name not in self.model_fields_set}
        return self.model_copy(update={"preset": self.followed} | left)

    def digest(self, **more: object) -> str:
        """The sha256 of all settings and of what else decides the samples; where files lie does not count."""
        data = self.model_dump(mode="json", exclude=PATHS | {"licence", "preset"}) | more
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def class_of(choice: ObjectChoice) -> str:
    """What detectors call the objects of a model."""
    return choice.class_name or re.split(r"[/\\:]", choice.model.rstrip("/\\"))[-1]


def read_config(path: str | Path, **changes: Any) -> GenerateConfig:
    """The settings in a JSON file, with some of them changed.

    Raises:
        ConfigError: the file cannot be read, or what is wrong in it.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("it holds no mapping of settings")
    except (OSError, ValueError) as error:
        raise ConfigError(f"Cannot read the settings {str(path)!r} ({error}). Expected a JSON file.") from error
    return GenerateConfig.from_data(data | changes, repr(str(path)))
