"""Edits of recipes: what to change, and the recipe that comes of it. Nothing is computed yet."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from .errors import RecipeError, did_you_mean
from .exchange import Others, Seams
from .geometry import Box
from .loading import Loader
from .naming import free_name, short_name
from .offers import listed
from .questions import PAPER, check_objects_asked_for
from .recipe import (
    BatchSize,
    CanvasSize,
    Fraction,
    Recipe,
    RegionRecipe,
    SampleNumbers,
    Seed,
    Settings,
    Steps,
    explained,
)
from .registry import Registry
from .rule_presets import PHOTO, PRESETS, PresetName

CHOICES = {"merge rule": "merge", "timestep schedule": "timesteps", "stepper": "stepper", "backend": "backend"}
"""Of each kind of plugin a recipe has one, in this field."""
ELSEWHERE = {
    "denoiser": "give it to `background` or `objects`, as in `objects` {name}",
    "wrapper": "give it to `wraps` as REGION=WRAPPER, as in `wraps` background={name}",
    "classifier": "give it to the setting of a wrapper that takes one, by `settings`",
    "engine": "generated sets are made by it, by --engine {name} of `dmix generate`",
    "format": "generated sets are written in it, by --format {name} of `dmix export`",
    "layout": "data sets are read in it, by --layout {name} of `dmix data` and `dmix train`. What writes them is an "
    "exporter, of which are installed: {exporters}",
}
"""Where plugins of other kinds go."""
PLAIN = ("size", "steps", "merge_from", "others", "seams", "seed", "samples", "batch_size", "device", "dtype")

Data = dict[str, Any]
Place = tuple[str | int, ...]
"""The keys that lead to a part of a recipe's data."""


class ObjectEdit(NamedTuple):
    """An object model and the box (x, y, width, height) that it paints; None: the centre, at its own size."""

    model: str
    box: tuple[int, int, int, int] | None = None


class SettingEdit(NamedTuple):
    """A setting of a plugin in use or of a region's model; without an owner, of the one thing that has such a key."""

    owner: str | None
    key: str
    value: Any


class RecipeEdit(BaseModel):
    """What to change in a recipe; fields that are left out leave it alone.

    Attributes:
        preset: a name in `presets.PRESETS`, whose rules take the place of the recipe's; the other fields win over it.
        background: a model or picture for the bottom region, in the place of the recipe's.
        objects: the objects from bottom to top, in the place of the recipe's.
        plugins: names of merge rules, timestep schedules, steppers (one of each) and exporters; exporters replace all
            of the recipe's.
        wraps: (region, wrapper), the first of a region innermost, in the place of that region's wrappers.
        settings: of plugins in use, wrappers and models.
        timesteps: settings of the timestep schedule, whichever is in use.
        listen_from: (region, fraction).
        backend: the name of what calls the networks.

    The other fields are those of a Recipe.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: PresetName | None = None
    background: str | None = None
    objects: tuple[ObjectEdit, ...] = ()
    plugins: tuple[str, ...] = ()
    wraps: tuple[tuple[str, str], ...] = ()
    settings: tuple[SettingEdit, ...] = ()
    timesteps: Settings = {}
    listen_from: tuple[tuple[str, float], ...] = ()
    size: CanvasSize | None = None
    steps: Steps | None = None
    merge_from: Fraction | None = None
    others: Others | None = None
    seams: Seams | None = None
    seed: Seed | None = None
    samples: SampleNumbers | None = None
    batch_size: BatchSize | None = None
    device: str | None = None
    dtype: str | None = None
    backend: str | None = None

    @classmethod
    def from_data(cls, data: Mapping[str, Any], source: str = "the edit") -> Self:
        """The edit in a mapping; unlike the constructor it raises RecipeError."""
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise RecipeError(explained(error, source)) from error

    def apply(self, recipe: Recipe | None = None, loader: Loader | None = None, source: str = "the edit") -> Recipe:
        """The edited recipe; the one that is given stays as it is.

        Objects without a box are placed in the centre of the canvas, which loads their models. Where an edit
        changes what decides an image, nothing is known of the new images: draws and dropped are emptied.

        Args:
            recipe: None: the bundled magnetic tiles with a blowhole.
            loader: where names come from, and where models are kept that are loaded; None: everything installed.
            source: names the edit in errors.

        Raises:
            DmixError: what cannot be found or does not fit. A field of this edit stands in `backticks` in the message.
        """
        loader = loader or Loader()
        registry = loader.registry
        data = (recipe or bundled_pair()).model_dump(mode="json")
        data |= {"regions": self._regions(data["regions"], registry)}
        data |= self._preset_fields(data["regions"], registry) | self._plain_fields()
        data |= self._choices(registry)
        for owner, key, value in [*self.settings, *_walk_settings(self.timesteps, data)]:
            data = _set(SettingEdit(owner, key, value), data, registry)
        edited = Recipe.from_data(data, source)
        edited = _with_valid_selection(edited, recipe) if recipe else edited
        if recipe is None and self.background and not self.objects:
            check_objects_asked_for(self.background, edited, loader)
        return _placed(edited, loader) if self.objects or recipe is None else edited

    def _plain_fields(self) -> Data:
        own_size = {"size": None} if self.background else {}  # that of another background, unless one is given
        given = {field: getattr(self, field) for field in PLAIN}
        return own_size | {field: value for field, value in given.items() if value is not None}

    def _preset_fields(self, regions: list[Data], registry: Registry) -> Data:
        """The fields that the preset decides, with what objects it lets listen and when."""
        if self.preset is None:
            return {}
        bottom, *above = regions
        preset, photograph = PRESETS[self.preset], registry.resolve(bottom["model"])[0] == PHOTO
        listening = {"listen_from": preset.listening(photograph)}
        heard = [region | listening | self._heard(region) for region in above]
        return preset.fields(photograph) | {"regions": [bottom, *heard]}

    # ---- regions ----------------------------------------------------------------------------------------------

    def _regions(self, given: Iterable[Data], registry: Registry) -> list[Data]:
        bottom, *above = sorted(given, key=lambda region: region["z"])
        bottom = self._bottom(bottom, registry)
        above = self._objects(bottom, registry) if self.objects else above
        return [region | self._heard(region) | self._wrapped(region) for region in self._known([bottom, *above])]

    def _bottom(self, given: Data, registry: Registry) -> Data:
        if self.background:
            given = {"name": "background", "model": registry.absolute(self.background), "z": given["z"]}
        return given | {"box": (0, 0, *reversed(self.size))} if self.size else given

    def _objects(self, bottom: Data, registry: Registry) -> list[Data]:
        regions = [bottom]
        for z, (model, box) in enumerate(self.objects, bottom["z"] + 1):
            name = free_name(short_name(model), [region["name"] for region in regions])
            regions.append({"name": name, "model": registry.absolute(model), "box": box, "z": z})
        return regions[1:]

    def _known(self, regions: list[Data]) -> list[Data]:
        """The regions, once it is known that the edit names no other."""
        names = [region["name"] for region in regions]
        for field in ("listen_from", "wraps"):
            for name, what in getattr(self, field):
                if not name:
                    raise RecipeError(
                        f"`{field}` {what}: it is given to a region, as in `{field}` {names[-1]}={what}. "
                        f"Regions: {', '.join(names)}."
                    )
                if name not in names:
                    raise RecipeError(
                        f"`{field}` {name}={what}: no region {name!r}.{did_you_mean(name, names)} "
                        f"Regions: {', '.join(names)}."
                    )
        return regions

    def _heard(self, region: Data) -> Data:
        fractions = [fraction for name, fraction in self.listen_from if name == region["name"]]
        return {"listen_from": fractions[-1]} if fractions else {}

    def _wrapped(self, region: Data) -> Data:
        wraps = [{"use": wrapper, "settings": {}} for name, wrapper in self.wraps if name == region["name"]]
        return {"wrap": wraps} if wraps else {}

    # ---- plugins ----------------------------------------------------------------------------------------------

    def _choices(self, registry: Registry) -> Data:
        """The plugins in their places in the recipe."""
        chosen: Data = {"backend": {"use": self.backend, "settings": {}}} if self.backend else {}
        for name in dict.fromkeys(self.plugins):
            kind = registry.kind_of(name)
            if kind in ELSEWHERE:
                advice = ELSEWHERE[kind].format(name=name, exporters=listed(registry.names("exporter")))
                raise RecipeError(f"`plugins` {name}: it is a {kind}; {advice}.")
            choice = {"use": name, "settings": {}}
            if kind == "exporter":
                chosen["exporters"] = [*chosen.get("exporters", []), choice]
            elif taken := chosen.get(CHOICES[kind]):
                raise RecipeError(f"`plugins` {name}: {taken['use']!r} is a {kind} too; expected one.")
            else:
                chosen[CHOICES[kind]] = choice
        return chosen


def bundled_pair() -> Recipe:
    """The recipe of the bundled models: magnetic tiles, and a blowhole on all of the canvas."""
    background = RegionRecipe(name="background", model="tiles")
    return Recipe(regions=(background, RegionRecipe(name="blowhole", model="defects:blowhole", z=1)))


def _with_valid_selection(edited: Recipe, before: Recipe) -> Recipe:
    """The edited recipe with those draws and dropped samples of the one before that still mean the same images."""
    numbers = {*edited.samples} if edited.digest() == before.digest() else set()
    draws = {number: draw for number, draw in before.draws.items() if number in numbers}
    dropped = tuple(number for number in before.dropped if number in numbers)
    return edited.model_copy(update={"draws": draws, "dropped": dropped})


# ---- settings -------------------------------------------------------------------------------------------------


class Target(NamedTuple):
    """Something in use that has settings: a plugin, a region's model, or a wrapper around one."""

    names: tuple[str, ...]
    """By which of them a setting finds it."""
    plugin: str
    place: Place
    """Where its settings are in a recipe's data."""


def _walk_settings(settings: Mapping[str, JsonValue], data: Data) -> list[SettingEdit]:
    return [SettingEdit(data["timesteps"]["use"], key, value) for key, value in settings.items()]


def _set(setting: SettingEdit, data: Data, registry: Registry) -> Data:
    """The data with one more setting, in each place where it belongs."""
    owner, key, value = setting
    targets = _targets(data, registry)
    for target in _named_so(owner, key, targets, registry) if owner else _having(key, targets, registry):
        reference = isinstance(value, str) and key in registry.model_settings(target.plugin)
        data = _put(data, (*target.place, key), registry.absolute(value) if reference else value)
    return data


def _put(data: Any, place: Place, value: Any) -> Any:
    """A copy of nested dicts and lists that has a value at this place."""
    key, *rest = place
    copied = data.copy()
    if rest:
        value = _put(data.get(key, {}) if isinstance(data, dict) else data[key], tuple(rest), value)
    copied[key] = value
    return copied


def _targets(data: Data, registry: Registry) -> list[Target]:
    """Everything in use that has settings."""
    chosen = [(data[field]["use"], (field, "settings")) for field in CHOICES.values()]
    exporters = [(each["use"], ("exporters", i, "settings")) for i, each in enumerate(data["exporters"])]
    targets = [Target((name,), name, place) for name, place in [*chosen, *exporters]]
    for i, region in enumerate(data["regions"]):
        model, _ = registry.resolve(region["model"])
        targets.append(Target((region["name"],), model, ("regions", i, "settings")))
        for j, wrapper in enumerate(region.get("wrap", ())):
            names = wrapper["use"], f"{region['name']}.{wrapper['use']}"
            targets.append(Target(names, wrapper["use"], ("regions", i, "wrap", j, "settings")))
    return targets


def _named_so(name: str, key: str, targets: Iterable[Target], registry: Registry) -> list[Target]:
    """What is called so: one thing, or a wrapper in each of the regions that have it."""
    found = [target for target in targets if name in target.names]
    if not found:
        known = dict.fromkeys(name for target in targets for name in target.names)
        installed = name in [each for kind in (*CHOICES, "exporter") for each in registry.names(kind)]
        advice = f" To use it add `plugins` {name}." if installed else did_you_mean(name, known)
        raise RecipeError(f"`settings` {name}.{key}: {name!r} is not in use.{advice} In use: {', '.join(known)}.")
    return found


def _having(key: str, targets: Iterable[Target], registry: Registry) -> list[Target]:
    """What has this setting: one thing, or a wrapper in each of the regions that have it."""
    known = {target.names[0]: registry.settings(target.plugin) for target in targets}
    owners = [name for name, keys in known.items() if key in keys]
    if len(owners) == 1:
        return [target for target in targets if target.names[0] == owners[0]]
    if owners:
        raise RecipeError(f"`settings` {key}: {' and '.join(owners)} have it; write {owners[0]}.{key}.")
    listed = "; ".join(f"{name}: {', '.join(keys)}" for name, keys in known.items() if keys) or "none"
    close = did_you_mean(PAPER.get(key, key), [key for keys in known.values() for key in keys])
    raise RecipeError(f"`settings` {key}: nothing in use has such a setting.{close} Settings: {listed}.")


# ---- boxes ----------------------------------------------------------------------------------------------------


def _placed(recipe: Recipe, loader: Loader) -> Recipe:
    """The recipe with its objects without a box in the middle of the canvas, as large as they are."""
    sizes = [region.denoiser.spec.picture.size for region in recipe.made_regions(loader)]
    canvas = recipe.size or sizes[0]
    bottom, *above = recipe.regions
    placed = [
        region if region.box else region.model_copy(update={"box": tuple(Box.centred(size, canvas))})
        for region, size in zip(above, sizes[1:], strict=True)
    ]
    return recipe.model_copy(update={"regions": (bottom, *placed)})
