"""Ids of a page become references of models; what the page was not offered is refused."""

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import StudioError
from .scene import Scene

Json = dict[str, Any]


def resolved(scene: Scene, offered: Json, photographs: Mapping[str, str]) -> tuple[Scene, dict[str, str]]:
    """The scene with references in its settings, and the reference of each id that it names.

    Args:
        offered: the catalogue.
        photographs: references of the tab's photographs, by their ids.

    Raises:
        StudioError: a model, plugin or setting that was not offered.
    """
    models = {each["id"]: each for each in offered["models"]}
    references = {name: each["reference"] for name, each in models.items()}
    known = references | dict(photographs)
    used = [scene.background, *(each.model for each in scene.objects)]
    for name in used:
        _check_known(name, known, "model")
    changed: Json = {"plugins": {}, "wraps": [], "models": {}}
    for kind, chosen in scene.plugins.items():
        if kind not in offered["defaults"]:
            raise StudioError(f"No kind of plugin {kind!r}; expected one of {', '.join(offered['defaults'])}.")
        plugin = _named(offered["plugins"][kind], chosen.name, kind)
        changed["plugins"][kind] = {"name": chosen.name, "settings": _set(plugin, chosen.settings, references)}
    for wrap in scene.wraps:
        plugin = _named(offered["plugins"]["wrapper"], wrap.name, "wrapper")
        changed["wraps"].append(wrap.model_dump() | {"settings": _set(plugin, wrap.settings, references)})
    for name, values in scene.models.items():
        if name in used and name in models:
            changed["models"][name] = _set(models[name] | {"name": name}, values, references)
    return Scene.model_validate(scene.model_dump() | changed), {name: known[name] for name in used}


def _check_known(name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        raise StudioError(f"There is no {what} {name!r} here. Load the page again and choose another one.")


def _named(plugins: Iterable[Json], name: str, kind: str) -> Json:
    found = {each["name"]: each for each in plugins}
    _check_known(name, found, kind)
    return found[name]


def _set(plugin: Json, values: Mapping[str, Any], references: Mapping[str, str]) -> Json:
    """The values of a plugin's settings, with references in the place of models' ids."""
    schemas = {each["name"]: each["schema"] for each in plugin["settings"]}
    for key in values:
        _check_known(key, schemas, f"setting of {plugin['name']!r} called")
    done = dict(values)
    for key in done.keys() & {key for key, schema in schemas.items() if schema == {"type": "model"}}:
        _check_known(str(done[key]), references, "model")
        done[key] = references[str(done[key])]
    return done
