"""From what was typed to a recipe."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import click

from dmix_core.backends import Compute
from dmix_core.composer import Composer
from dmix_core.errors import did_you_mean
from dmix_core.protocols import Denoiser, Exporter
from dmix_core.recipe import Recipe, changes, made_with
from dmix_core.region import canvas_spec
from dmix_core.registry import DEFAULT, Registry

from .compose import Options
from .parameters import Object, Setting

BUNDLED_PAIR = (
    {"name": "background", "model": "tiles"},
    {"name": "blowhole", "model": "blowhole", "z": 1},
)
FIELDS = ("size", "steps", "merge_from", "others", "seams", "seed", "batch_size", "device", "dtype")
CHOICES = {
    "merge rule": "merge",
    "timestep schedule": "timesteps",
    "stepper": "stepper",
    "backend": "backend",
}  # kind: recipe's field
ELSEWHERE = {
    "denoiser": "give it to --background or --object",
    "wrapper": "give it to --wrap as REGION=WRAPPER",
    "classifier": "give it to the setting of a wrapper that takes one, by --set",
}

Data = dict[str, Any]


class Plan(NamedTuple):
    """What to do: the recipe and what it makes."""

    recipe: Recipe
    composer: Composer
    exporters: dict[str, Exporter]
    changes: list[str]
    """What a given recipe was made with that is different now."""


class Target(NamedTuple):
    """Something in use that has settings: a plugin, a region's model, or a wrapper around one."""

    names: tuple[str, ...]
    """Under which of them `--set` finds it."""
    plugin: str
    settings: Data


class Models(Registry):
    """The registry; it makes each denoiser once, though recipes are tried before boxes are known."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, Denoiser] = {}
        """By their references, those in the settings of wrappers too."""
        self._made: dict[tuple[str, Compute, str], Denoiser] = {}

    def denoiser(
        self, reference: str, compute: Compute = DEFAULT, settings: Mapping[str, Any] | None = None
    ) -> Denoiser:
        key = reference, compute, json.dumps(settings or {}, sort_keys=True)
        if key not in self._made:
            self._made[key] = self.made[reference] = super().denoiser(reference, compute, settings)
        return self._made[key]


def plan(options: Options, registry: Models) -> Plan:
    """The recipe that the options ask for, its composer and exporters; nothing is computed or written yet."""
    given = Recipe.read(options.recipe) if options.recipe else Recipe.from_data({"regions": BUNDLED_PAIR})
    data = given.model_dump() | _typed_fields(options)
    data["regions"] = _regions(options, data["regions"], registry)
    exporters = _choose_plugins(options.plugins, data, registry)
    if options.backend:
        data["backend"] = {"use": options.backend, "settings": {}}
    _set(_settings(options, data), _targets(data, exporters, registry), registry)

    recipe = Recipe.from_data(data, "these options" if not options.recipe else repr(str(options.recipe)))
    composer = recipe.composer(registry)
    if unplaced := _unplaced(options, recipe):
        recipe = _centred(recipe, composer, unplaced)
        composer = recipe.composer(registry)
    recipe = recipe.model_copy(update={"made_with": made_with(registry, registry.made)})
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
        bottom = {"name": "background", "model": registry.absolute(options.background), "z": bottom["z"]}
    if options.size:
        height, width = options.size
        bottom["box"] = (0, 0, width, height)
    if options.objects:
        above = _objects(options.objects, bottom, registry)
    regions = {region["name"]: region for region in (bottom, *above)}
    for name, fraction in options.listen_from:
        _named(name, regions, f"--listen-from {name}={fraction}")["listen_from"] = fraction
    wraps: dict[str, list[Data]] = {}
    for name, wrapper in options.wrap:
        _named(name, regions, f"--wrap {name}={wrapper}")["wrap"] = wraps.setdefault(name, [])
        wraps[name].append({"use": wrapper, "settings": {}})
    return [bottom, *above]


def _objects(objects: Iterable[Object], bottom: Data, registry: Registry) -> list[Data]:
    regions: list[Data] = []
    taken = {bottom["name"]}
    for z, (model, box) in enumerate(objects, bottom["z"] + 1):
        name = _unique(re.split(r"[/\\:]", model.rstrip("/\\"))[-1], taken)
        regions.append({"name": name, "model": registry.absolute(model), "box": box, "z": z})
    return regions


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    taken.add(unique)
    return unique


def _named(name: str, regions: Mapping[str, Data], typed: str) -> Data:
    if name not in regions:
        raise click.UsageError(
            f"{typed}: no region {name!r}.{did_you_mean(name, regions)} Regions: {', '.join(regions)}."
        )
    return regions[name]


def _unplaced(options: Options, recipe: Recipe) -> set[str]:
    """The objects that were named without a box; a recipe's own regions are left where it has them."""
    if options.recipe and not options.objects:
        return set()
    return {region.name for region in recipe.regions[1:] if region.box is None}


def _centred(recipe: Recipe, composer: Composer, names: set[str]) -> Recipe:
    """The recipe with these regions in the middle of the canvas, as large as they are."""
    sizes = {region.name: canvas_spec(region).size for region in composer.regions}
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
        if kind in ELSEWHERE:
            raise click.UsageError(f"--plugin {name}: it is a {kind}; {ELSEWHERE[kind]}.")
        if kind == "exporter":
            exporters[name] = {}
            continue
        if kind in chosen:
            raise click.UsageError(f"--plugin {name}: {chosen[kind]!r} is a {kind} too; expected one.")
        chosen[kind] = name
        data[CHOICES[kind]] = {"use": name, "settings": {}}
    return exporters


def _targets(data: Data, exporters: Mapping[str, Data], registry: Registry) -> list[Target]:
    """Everything in use that has settings, with the place in the recipe's data where they belong."""
    chosen = {data[field]["use"]: data[field]["settings"] for field in CHOICES.values()}
    targets = [Target((name,), name, settings) for name, settings in {**chosen, **exporters}.items()]
    for region in data["regions"]:
        name = region["name"]
        model, _ = registry.resolve(region["model"])
        targets.append(Target((name,), model, region.setdefault("settings", {})))
        for wrapper in region.get("wrap", ()):
            use = wrapper["use"]
            targets.append(Target((use, f"{name}.{use}"), use, wrapper["settings"]))
    return targets


def _settings(options: Options, data: Data) -> list[Setting]:
    schedule = data["timesteps"]["use"]
    walk = {"jump_length": options.jump_length, "resamples": options.resamples}
    return [*options.settings, *(Setting(schedule, key, value) for key, value in walk.items() if value is not None)]


def _set(settings: Iterable[Setting], targets: Sequence[Target], registry: Registry) -> None:
    for owner, key, value in settings:
        for target in _named_so(owner, key, targets) if owner else _having(key, targets, registry):
            given = isinstance(value, str) and key in registry.model_settings(target.plugin)
            target.settings[key] = registry.absolute(value) if given else value


def _named_so(name: str, key: str, targets: Iterable[Target]) -> list[Target]:
    """What is called so: one thing, or a wrapper in each of the regions that have it."""
    found = [target for target in targets if name in target.names]
    if not found:
        known = dict.fromkeys(name for target in targets for name in target.names)
        raise click.UsageError(
            f"--set {name}.{key}: {name!r} is not in use.{did_you_mean(name, known)} In use: {', '.join(known)}."
        )
    return found


def _having(key: str, targets: Iterable[Target], registry: Registry) -> list[Target]:
    """What has this setting: one thing, or a wrapper in each of the regions that have it."""
    known = {target.names[0]: registry.settings(target.plugin) for target in targets}
    owners = [name for name, keys in known.items() if key in keys]
    if len(owners) == 1:
        return [target for target in targets if target.names[0] == owners[0]]
    listed = "; ".join(f"{name}: {', '.join(keys)}" for name, keys in known.items() if keys) or "none"
    if owners:
        raise click.UsageError(f"--set {key}: {' and '.join(owners)} have it; write {owners[0]}.{key}.")
    close = did_you_mean(key, [key for keys in known.values() for key in keys])
    raise click.UsageError(f"--set {key}: nothing in use has such a setting.{close} Settings: {listed}.")
