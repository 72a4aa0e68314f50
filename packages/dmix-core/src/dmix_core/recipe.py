"""Recipes: a composition as a file, from which the picture can be made again.

It is made again bit for bit on the same machine with the same versions, batch_size and number of threads of torch: a
network's call differs by up to 4e-6 between one and two threads. `made_with` records them, `changes` names differences.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from .backends import Compute
from .checks import check_regions
from .composer import Composer
from .devices import check_device
from .errors import RecipeError, did_you_mean
from .exchange import Exchange, Others, Seams
from .files import read_limited, write_atomically
from .geometry import Box
from .kinds import Kind
from .limits import (
    HIGHEST_SEED,
    LARGEST_BATCH,
    LARGEST_RECIPE,
    LONGEST_SIDE,
    MOST_PIXELS,
    MOST_SAMPLES,
    MOST_STEPS,
)
from .loading import Loader
from .protocols import Denoiser, Region
from .region import BoxRegion
from .registry import Registry
from .still import StillImage

Fraction = Annotated[float, Field(ge=0, le=1)]


def _json(value: JsonValue) -> JsonValue:
    json.dumps(value, allow_nan=False)  # a ValueError for NaN and infinity, which JSON does not know
    return value


Settings = dict[str, Annotated[JsonValue, AfterValidator(_json)]]


def _at_least_one(what: str) -> AfterValidator:
    def some(parts: tuple[Any, ...]) -> tuple[Any, ...]:
        if not parts:
            raise ValueError(f"a composition needs at least one {what}")
        return parts

    return AfterValidator(some)


def _numbers(samples: tuple[int, ...]) -> tuple[int, ...]:
    if len(samples) > MOST_SAMPLES:
        raise ValueError(f"expected at most {MOST_SAMPLES} sample numbers")
    if len({*samples}) < len(samples):
        raise ValueError("sample numbers must differ, since the files of a sample are named after its number")
    return samples


def _drawable(size: tuple[int, int]) -> tuple[int, int]:
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"expected at most {MOST_PIXELS} pixels in all")
    return size


Side = Annotated[int, Field(gt=0, le=LONGEST_SIDE)]
CanvasSize = Annotated[tuple[Side, Side], AfterValidator(_drawable)]
Steps = Annotated[int, Field(gt=0, le=MOST_STEPS)]
BatchSize = Annotated[int, Field(gt=0, le=LARGEST_BATCH)]
Seed = Annotated[int, Field(ge=-HIGHEST_SEED - 1, le=HIGHEST_SEED)]
SampleNumber = Annotated[int, Field(ge=0, le=HIGHEST_SEED)]
SampleNumbers = Annotated[tuple[SampleNumber, ...], _at_least_one("sample"), AfterValidator(_numbers)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(_Part):
    """A name of the registry, and its settings."""

    use: str
    settings: Settings = {}


class RegionRecipe(_Part):
    """A region.

    Attributes:
        model: a reference as `Registry.denoiser` takes it.
        settings: the model's own, if its factory takes any.
        wrap: wrappers around the model, applied from first to last.
        box: x, y, width, height.
    """

    name: str
    model: str
    settings: Settings = {}
    wrap: tuple[Choice, ...] = ()
    box: tuple[int, int, int, int] | None = None
    z: int = 0
    listen_from: Fraction | None = None

    def region(self, loader: Loader, compute: Compute) -> Region:
        """The region with its model, settings and wrappers."""
        denoiser = loader.denoiser(self.model, compute, self.settings)
        for wrapper in self.wrap:
            denoiser = loader.wrapped(denoiser, wrapper.use, compute, wrapper.settings)
        return BoxRegion(denoiser, self.box and Box(*self.box), self.name, self.z, self.listen_from)

    def completed(self, registry: Registry) -> Self:
        """With the defaults of the settings that its model and its wrappers leave out."""
        model, _ = registry.resolve(self.model)
        settings = registry.complete_settings(model, self.settings)
        wrap = tuple(
            each.model_copy(update={"settings": registry.complete_settings(each.use, each.settings, "wrapper")})
            for each in self.wrap
        )
        return self.model_copy(update={"settings": settings, "wrap": wrap})


def _different(exporters: tuple[Choice, ...]) -> tuple[Choice, ...]:
    names = [each.use for each in exporters]
    if len({*names}) < len(names):
        raise ValueError("exporters must differ, since each has the folder of its name")
    return exporters


SELECTION = ("draws", "dropped")
"""Fields that state what became of samples in which an object did not show."""


class Recipe(_Part):
    """Everything that decides a composition; the fields up to `seams` are Composer's arguments, `others` and
    `seams` in an Exchange.

    Attributes:
        size: (height, width) of the canvas; None: the grid of the bottom region.
        samples: the numbers of the images to make; each image depends on its number and the seed alone.
        batch_size: how many run together; for the same bits on another day it has to be the same.
        backend: what calls the networks: "torch", "compile", or one of a plugin.
        draws: for each sample that was drawn again, the number whose noise it has in the place of its own.
        dropped: the numbers of samples that are composed with their batches and left out. These two stand in the file
            where there are some.
        exporters: what writes the samples beside the pictures; they decide nothing of the images.
        made_with: versions and checksums, as the function `made_with` gives them; for information.
    """

    version: Literal[1] = 1
    regions: Annotated[tuple[RegionRecipe, ...], _at_least_one("region")]
    size: CanvasSize | None = None
    steps: Steps = 250
    timesteps: Choice = Choice(use="tail-resampling", settings={"jump_length": 10, "resamples": 2})
    stepper: Choice = Choice(use="ancestral")
    merge: Choice = Choice(use="hard-mask", settings={"threshold": 0.5})
    merge_from: Fraction = 0.9
    others: Others = "clean"
    seams: Seams = "keep-variance"
    seed: Seed = 0
    samples: SampleNumbers = (0,)
    draws: dict[SampleNumber, SampleNumber] = {}
    dropped: tuple[SampleNumber, ...] = ()
    batch_size: BatchSize = 8
    device: str = "cpu"
    dtype: str = "float32"
    backend: Choice = Choice(use="torch")
    exporters: Annotated[tuple[Choice, ...], AfterValidator(_different)] = ()
    made_with: dict[str, str] = {}

    @model_serializer(mode="wrap")
    def _without_empty_selection(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = fields(self)
        return {key: value for key, value in data.items() if value or key not in SELECTION}

    # ---- files ----------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The recipe in a file.

        Raises:
            RecipeError: the file cannot be read, or what is wrong with it, by key.
        """
        try:
            text = read_limited(path, LARGEST_RECIPE).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"Cannot read the recipe {str(path)!r} ({error}). Expected a JSON file.") from error
        return cls.from_text(text, repr(str(path)))

    @classmethod
    def from_text(cls, text: str, source: str = "the recipe") -> Self:
        """The recipe in a JSON text; `source` names it in errors."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise RecipeError(explained(error, source)) from error

    @classmethod
    def from_data(cls, data: Mapping[str, Any], source: str = "the recipe") -> Self:
        """The recipe in a mapping; unlike the constructor it raises RecipeError."""
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise RecipeError(explained(error, source)) from error

    def text(self) -> str:
        """The recipe as JSON, every default written out."""
        return self.model_dump_json(indent=2) + "\n"

    def write(self, path: str | Path) -> Path:
        """Write the recipe as JSON, whole or not at all.

        Raises:
            DmixError: the file cannot be written.
        """
        return write_atomically(path, self.text().encode())

    # ---- Python ---------------------------------------------------------------------------------------------

    def composer(self, registry: Registry | Loader | None = None) -> Composer:
        """The Composer; regions of equal model, settings and wrappers share one denoiser and so run as one batch.

        Args:
            registry: where names come from; None: everything that is installed. A Loader shares its denoisers.

        Raises:
            DmixError: what cannot be made or does not fit, before any network is called.
        """
        loader = registry if isinstance(registry, Loader) else Loader(registry)
        create = loader.registry.create
        return Composer(
            check_regions(self.made_regions(loader)),  # a recipe names its regions itself
            size=self.size,
            steps=self.steps,
            timesteps=create("timestep schedule", self.timesteps.use, self.timesteps.settings),
            stepper=create("stepper", self.stepper.use, self.stepper.settings),
            merge=create("merge rule", self.merge.use, self.merge.settings),
            merge_from=self.merge_from,
            exchange=Exchange(self.others, self.seams),
        ).to(self.device)

    def completed(self, registry: Registry) -> Self:
        """The same recipe with the defaults of all settings that it leaves out, so that later ones change nothing.

        Raises:
            PluginError: no plugin provides a name, or two do.
        """

        def whole(kind: Kind, choice: Choice) -> Choice:
            settings = registry.complete_settings(choice.use, choice.settings, kind)
            return choice.model_copy(update={"settings": settings})

        parts: dict[str, Any] = {
            "timesteps": whole("timestep schedule", self.timesteps),
            "stepper": whole("stepper", self.stepper),
            "merge": whole("merge rule", self.merge),
            "backend": whole("backend", self.backend),
            "exporters": tuple(whole("exporter", each) for each in self.exporters),
            "regions": tuple(region.completed(registry) for region in self.regions),
        }
        return self.model_copy(update=parts)

    def compute(self, registry: Registry) -> Compute:
        """Where and how its networks are computed.

        Raises:
            DmixError: there is no such device or backend.
        """
        backend = registry.create("backend", self.backend.use, self.backend.settings)
        return Compute(check_device(self.device), self.dtype, backend)

    def made_regions(self, loader: Loader) -> list[Region]:
        """The regions with their denoisers, in the recipe's order; whether they fit together is not checked yet.

        Raises:
            DmixError: a denoiser cannot be made, or nothing can be computed on the device.
        """
        compute = self.compute(loader.registry)
        return [region.region(loader, compute) for region in self.regions]

    def models(self, loader: Loader) -> dict[str, Denoiser]:
        """The denoisers that it names, those in the settings of models and wrappers too, by their references."""
        compute, settings = self.compute(loader.registry), loader.registry.model_settings
        named = {region.model: loader.denoiser(region.model, compute, region.settings) for region in self.regions}
        for region in self.regions:
            parts = [(loader.registry.resolve(region.model)[0], region.settings)]
            parts += [(wrapper.use, wrapper.settings) for wrapper in region.wrap]
            inside = [given[key] for name, given in parts for key in settings(name) if key in given]
            named |= {
                reference: loader.denoiser(reference, compute) for reference in inside if isinstance(reference, str)
            }
        return named

    def digest(self) -> str:
        """The sha256 of all that decides an image but the number of its noise.

        That is, samples, draws, dropped, exporters and made_with are left out.
        """
        text = self.model_dump_json(exclude={"samples", *SELECTION, "exporters", "made_with"})
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def kept(self) -> tuple[int, ...]:
        """The numbers of the samples that are not left out."""
        dropped = {*self.dropped}
        return tuple(number for number in self.samples if number not in dropped)

    def batches(self) -> list[tuple[int, ...]]:
        """The sample numbers in groups of batch_size, each of them one `composer.compose(samples=...)`."""
        return [self.samples[i : i + self.batch_size] for i in range(0, len(self.samples), self.batch_size)]


def made_with(registry: Registry, models: Mapping[str, Denoiser] = MappingProxyType({})) -> dict[str, str]:
    """What a picture's bits may depend on beside its recipe.

    Args:
        models: denoisers by their references.

    Returns:
        The versions of Python, torch, numpy and every plugin's distribution; the number of threads that torch computes
        with, since a network's call differs by up to 4e-6 between one and two; under "model REFERENCE" the start of the
        sha256 of a photograph's file, or of a denoiser's weights where it has them in an attribute `sha256`.
    """
    plugins = {plugin.distribution: plugin.version for plugin in registry.plugins if plugin.status == "ok"}
    libraries = {name: metadata.version(name) for name in ("numpy", "torch")}
    threads = {"threads": str(torch.get_num_threads())}
    sums = {f"model {reference}": _sha256(reference, denoiser) for reference, denoiser in models.items()}
    stated = {model: sha256[:16] for model, sha256 in sums.items() if sha256}
    return {"python": platform.python_version(), **libraries, **threads, **plugins, **stated}


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two answers of `made_with`, in words; what only one of them names is left out."""
    return [f"{what} was {then[what]}, is {now[what]}" for what in then if now.get(what, then[what]) != then[what]]


def _sha256(reference: str, denoiser: Denoiser) -> str | None:
    photo = Path(reference.removeprefix("photo:"))
    if isinstance(denoiser, StillImage) and photo.is_file():
        return hashlib.sha256(photo.read_bytes()).hexdigest()
    return getattr(denoiser, "sha256", None)


def explained(error: ValidationError, source: str) -> str:
    """Every problem on a line: which key, what was expected, what was given."""
    problems = [_problem(dict(problem)) for problem in error.errors()]
    return "\n  ".join([f"Cannot understand {source}:", *problems])


def _problem(problem: Mapping[str, Any]) -> str:
    *parent, key = map(str, problem["loc"] or [""])
    where = ".".join([*parent, key])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where!r}.{did_you_mean(key, _fields(parent))}"
    if problem["type"] == "missing":
        return f"the key {where!r} is missing."
    given = "" if problem["type"] == "json_invalid" else f"; got {problem['input']!r}"
    return f"{where + ': ' if where else ''}{problem['msg']}{given}."


def _fields(parent: list[str]) -> list[str]:
    """The keys of the part of a recipe that lies at this place."""
    parts: dict[str, type[_Part]] = {"regions": RegionRecipe}
    parts |= dict.fromkeys(("wrap", "timesteps", "stepper", "merge", "backend", "exporters"), Choice)
    known = [parts[name] for name in parent if name in parts]
    return list((known[-1] if known else Recipe).model_fields)
