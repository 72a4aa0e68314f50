"""From what was typed to a recipe."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from dmix_core.composer import Composer
from dmix_core.errors import did_you_mean
from dmix_core.protocols import Denoiser, Exporter
from dmix_core.recipe import Recipe, changes, made_with
from dmix_core.registry import Registry

from .compose import Options
from .parameters import Object, Setting

BUNDLED_PAIR = (
    {"name": "background", "model": "tiles"},
    {"name": "blowhole", "model": "blowhole", "z": 1},
)
TAKING_PATHS = ("checkpoint", "photo")  # names of denoisers whose argument is a path
FIELDS = ("size", "steps", "merge_from", "others", "seams", "seed", "batch_size", "device", "dtype")
CHOICES = {"merge rule": "merge", "timestep schedule": "timesteps", "stepper": "stepper"}  # kind: recipe's field

Data = dict[str, Any]


class Plan(NamedTuple):
    """What to do: the recipe and what it makes."""

    recipe: Recipe
    composer: Composer
    exporters: dict[str, Exporter]
    changes: list[str]
    """What a given recipe was made with that is different now."""


class Models(Registry):
    """The registry; it makes each denoiser once, though recipes are tried before boxes are known."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[tuple[str, str, str], Denoiser] = {}

    def denoiser(self, reference: str, device: str = "cpu", dtype: str = "float32") -> Denoiser:
        key = reference, device, dtype
        if key not in self._made:
            self._made[key] = super().denoiser(*key)
        return self._made[key]


def plan(options: Options, registry: Models) -> Plan:
    """The recipe that the options ask for, its composer and exporters; nothing is computed or written yet."""
    given = Recipe.read(options.recipe) if options.recipe else Recipe.from_data({"regions": BUNDLED_PAIR})
    data = given.model_dump() | _typed_fields(options)
    data["regions"] = _regions(options, data["regions"], registry)
    exporters = _choose_plugins(options.plugins, data, registry)
    _set(_settings(options, data), {**_choices(data), **exporters}, registry)

    recipe = Recipe.from_data(data, "these options" if not options.recipe else repr(str(options.recipe)))
    composer = recipe.composer(registry)
    if unplaced := _unplaced(options, recipe):
        recipe = _centred(recipe, composer, unplaced)
        composer = recipe.composer(registry)
    models = {region.model: registry.denoiser(region.model, recipe.device, recipe.dtype) for region in recipe.regions}
    recipe = recipe.model_copy(update={"made_with": made_with(registry, models)})
    made = {name: registry.create("exporter", name, settings) for name, settings in exporters.items()}
    return Plan(recipe, composer, made, changes(given.made_with, recipe.made_with))


def _typed_fields(options: Options) -> Data:
    typed = {field: getattr(options, field) for field in FIELDS}
    if options.samples is not None:
        typed["samples"] = range(options.samples)
    own_size = {"size": None} if options.background else {}  # that of another background, unless it was typed
    return own_size | {field: value for field, value in typed.items() if value is not None}


# ---- regions ----------------------------------------------------------------------------------------------------


def _regions(options: Options, given: Iterable[Data], registry: Registry) -> list[Data]:
    bottom, *above = sorted(given, key=lambda region: region["z"])
    if options.background:
        bottom = {"name": "background", "model": _reference(options.background, registry), "z": bottom["z"]}
    if options.size:
        height, width = options.size
        bottom["box"] = (0, 0, width, height)
    if options.objects:
        above = _objects(options.objects, bottom, registry)
    return _listening(options.listen_from, [bottom, *above])


def _objects(objects: Iterable[Object], bottom: Data, registry: Registry) -> list[Data]:
    regions: list[Data] = []
    taken = {bottom["name"]}
    for z, (model, box) in enumerate(objects, bottom["z"] + 1):
        name = _unique(re.split(r"[/\\:]", model.rstrip("/\\"))[-1], taken)
        regions.append({"name": name, "model": _reference(model, registry), "box": box, "z": z})
    return regions


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    taken.add(unique)
    return unique


def _reference(typed: str, registry: Registry) -> str:
    """A model as typed; paths become absolute, so that the recipe holds wherever it is read."""
    name, _, argument = typed.partition(":")
    if name in TAKING_PATHS and argument:
        return f"{name}:{Path(argument).resolve()}"
    if name in registry.names("denoiser") or not Path(typed).exists():
        return typed
    return str(Path(typed).resolve())


def _listening(shares: Iterable[tuple[str, float]], regions: list[Data]) -> list[Data]:
    named = {region["name"]: region for region in regions}
    for name, fraction in shares:
        if name not in named:
            raise click.UsageError(
                f"--listen-from {name}={fraction}: no region {name!r}.{did_you_mean(name, named)} "
                f"Regions: {', '.join(named)}."
            )
        named[name]["listen_from"] = fraction
    return regions


def _unplaced(options: Options, recipe: Recipe) -> set[str]:
    """The objects that were named without a box; a recipe's own regions are left where it has them."""
    if options.recipe and not options.objects:
        return set()
    return {region.name for region in recipe.regions[1:] if region.box is None}


def _centred(recipe: Recipe, composer: Composer, names: set[str]) -> Recipe:
    """The recipe with these regions in the middle of the canvas, as large as their grids."""
    sizes = {region.name: region.denoiser.spec.size for region in composer.regions}
    boxes = {name: _middle(sizes[name], composer.size) for name in names}
    placed = (region.model_copy(update={"box": boxes.get(region.name, region.box)}) for region in recipe.regions)
    return recipe.model_copy(update={"regions": tuple(placed)})


def _middle(size: tuple[int, int], canvas: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = size
    return (canvas[1] - width) // 2, (canvas[0] - height) // 2, width, height


# ---- plugins and their settings ---------------------------------------------------------------------------------


def _choose_plugins(names: Iterable[str], data: Data, registry: Registry) -> dict[str, Data]:
    """Put merge rule, schedule and stepper into the recipe's data; returns the exporters with room for settings."""
    exporters: dict[str, Data] = {}
    chosen: dict[str, str] = {}
    for name in names:
        kind = registry.kind_of(name)
        if kind == "denoiser":
            raise click.UsageError(f"--plugin {name}: it is a denoiser; give it to --background or --object.")
        if kind == "exporter":
            exporters[name] = {}
            continue
        if kind in chosen:
            raise click.UsageError(f"--plugin {name}: {chosen[kind]!r} is a {kind} too; expected one.")
        chosen[kind] = name
        data[CHOICES[kind]] = {"use": name, "settings": {}}
    return exporters


def _choices(data: Data) -> dict[str, Data]:
    return {data[field]["use"]: data[field]["settings"] for field in CHOICES.values()}


def _settings(options: Options, data: Data) -> list[Setting]:
    schedule = data["timesteps"]["use"]
    walk = {"jump_length": options.jump_length, "resamples": options.resamples}
    return [*options.settings, *(Setting(schedule, key, value) for key, value in walk.items() if value is not None)]


def _set(settings: Iterable[Setting], choices: Mapping[str, Data], registry: Registry) -> None:
    for plugin, key, value in settings:
        name = plugin or _owner(key, choices, registry)
        if name not in choices:
            raise click.UsageError(
                f"--set {name}.{key}: {name!r} is not in use.{did_you_mean(name, choices)} "
                f"In use: {', '.join(choices)}."
            )
        choices[name][key] = value


def _owner(key: str, choices: Iterable[str], registry: Registry) -> str:
    """The plugin in use that has this setting."""
    known = {name: registry.settings(name) for name in choices}
    owners = [name for name, keys in known.items() if key in keys]
    if len(owners) == 1:
        return owners[0]
    listed = "; ".join(f"{name}: {', '.join(keys) or 'none'}" for name, keys in known.items())
    if owners:
        raise click.UsageError(f"--set {key}: several plugins have it; write PLUGIN.{key}. Settings: {listed}.")
    close = did_you_mean(key, [key for keys in known.values() for key in keys])
    raise click.UsageError(f"--set {key}: no plugin in use has such a setting.{close} Settings: {listed}.")
