"""A scene as a recipe, and as the command that makes the same picture."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from dmix_core.edits import RecipeEdit, SettingEdit
from dmix_core.loading import Loader
from dmix_core.naming import free_name, short_name
from dmix_core.recipe import Recipe

from .catalogue import DEFAULTS
from .scene import Scene, Wrap

References = Mapping[str, str]
"""Of each id that a page may name: the model's reference."""


def edit_of(scene: Scene, references: References) -> RecipeEdit:
    """The edit of a recipe that a scene stands for.

    Raises:
        RecipeError: a value that no recipe may have.
    """
    names = _names(scene, references)
    listening = {} if scene.listen_from is None else {"listen_from": [(each, scene.listen_from) for each in names]}
    data: dict[str, Any] = {
        "background": references[scene.background],
        "objects": [(references[each.model], each.box) for each in scene.objects],
        "plugins": [chosen.name for kind, chosen in scene.plugins.items() if chosen.name != DEFAULTS.get(kind)],
        "wraps": [(region, wrap.name) for wrap in scene.wraps for region in _around(wrap, names)],
        "settings": [*_settings(scene, names)],
        "seed": scene.seed,
        "steps": scene.steps,
        "merge_from": scene.merge_from,
        "samples": (0,),
    }
    return RecipeEdit.from_data(data | listening, "the scene")


def recipe_of(scene: Scene, references: References, loader: Loader) -> Recipe:
    """The recipe of a scene; errors as for `RecipeEdit.apply`."""
    return edit_of(scene, references).apply(None, loader, "the scene")


def command_of(scene: Scene, references: References) -> str:
    """`dmix compose` with the options that make the same picture, in the words of a shell."""
    edit = edit_of(scene, references)
    words = ["dmix", "compose", "--background", edit.background or ""]
    for model, box in edit.objects:
        words += ["--object", f"{model}@{','.join(map(str, box or ()))}"]
    words += ["--seed", str(edit.seed), "--steps", str(edit.steps), "--merge-from", f"{edit.merge_from:g}"]
    for region, fraction in edit.listen_from:
        words += ["--listen-from", f"{region}={fraction:g}"]
    for name in edit.plugins:
        words += ["--plugin", name]
    for region, wrapper in edit.wraps:
        words += ["--wrap", f"{region}={wrapper}"]
    for owner, key, value in edit.settings:
        words += ["--set", f"{owner}.{key}={_typed(value)}"]
    return shlex.join([*words, "-o", "again"])


def _names(scene: Scene, references: References) -> list[str]:
    """What the objects' regions are called, as `RecipeEdit.apply` names them."""
    names = ["background"]
    for each in scene.objects:
        names.append(free_name(short_name(references[each.model]), names))
    return names[1:]


def _around(wrap: Wrap, names: list[str]) -> list[str]:
    return ["background"] if wrap.around == "background" else names


def _settings(scene: Scene, names: list[str]) -> Iterator[SettingEdit]:
    for chosen in scene.plugins.values():
        yield from (SettingEdit(chosen.name, key, value) for key, value in chosen.settings.items())
    for wrap in scene.wraps:
        for region in _around(wrap, names):
            yield from (SettingEdit(f"{region}.{wrap.name}", key, value) for key, value in wrap.settings.items())
    models = [("background", scene.background), *zip(names, (each.model for each in scene.objects), strict=True)]
    for region, model in models:
        yield from (SettingEdit(region, key, value) for key, value in scene.models.get(model, {}).items())


def _typed(value: object) -> str:
    """As `--set` reads it: JSON, or text that is none."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)
