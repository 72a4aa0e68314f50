"""What there is to choose from, as the page shows it: models, plugins, and their settings with their meaning."""

import hashlib
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from dmix_core.errors import DmixError
from dmix_core.loading import Loader
from dmix_core.naming import short_name
from dmix_core.protocols import Classifier, Denoiser, Spec
from dmix_core.registry import Registry
from dmix_core.settings import json_defaults, mentions
from dmix_models.checkpoint import CONFIG, WEIGHTS, read_config

from .library import folders_below

CHOICES = ("merge rule", "timestep schedule", "stepper", "backend")
"""Kinds of which a composition has one each."""
DEFAULTS = {
    "merge rule": "hard-mask",
    "timestep schedule": "tail-resampling",
    "stepper": "ancestral",
    "backend": "torch",
}
Json = dict[str, Any]


def catalogue(loader: Loader, folders: Iterable[Path]) -> Json:
    """Models with their references, plugins by kind, and formats.

    Args:
        folders: in which models that were trained here are looked for.
    """
    registry = loader.registry
    kinds = (*CHOICES, "wrapper", "format")
    plugins = {kind: [_plugin(registry, name, kind) for name in registry.names(kind)] for kind in kinds}
    return {
        "models": [*_installed_models(loader), *_trained_models(folders)],
        "plugins": {kind: [each for each in found if each] for kind, found in plugins.items()},
        "defaults": DEFAULTS,
    }


# ---- models ---------------------------------------------------------------------------------------------------


def _installed_models(loader: Loader) -> Iterator[Json]:
    """Those with a name, each class by itself; what fails to load, for want of one or of a library, is left out."""
    for reference in loader.registry.references():
        try:
            spec = loader.denoiser(reference).spec
        except DmixError:
            continue
        if not spec.still:
            settings = _settings(loader.registry, reference.partition(":")[0], "denoiser")
            yield _model(reference.replace(":", "-"), reference, spec.picture) | {"settings": settings}


def _trained_models(folders: Iterable[Path]) -> Iterator[Json]:
    """The checkpoints in these folders, each class of one by itself; their weights are not read yet."""
    for folder in folders_below(folders):
        if not ((folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()):
            continue
        try:
            config = read_config(folder)
        except DmixError:  # some other program's config.json
            continue
        references = [f"{folder}:{label}" for label in config.object_classes] or [str(folder)]
        for reference in references:
            name = hashlib.sha256(reference.encode()).hexdigest()[:16]
            yield _model(name, reference, config.spec.picture) | {"settings": []}


def _model(name: str, reference: str, spec: Spec) -> Json:
    return {
        "id": name,
        "reference": reference,
        "label": short_name(reference),
        "size": [*spec.size],
        "object": bool(spec.mask_channels),
    }


# ---- plugins --------------------------------------------------------------------------------------------------


def _plugin(registry: Registry, name: str, kind: str) -> Json | None:
    """A plugin with its settings; None where it cannot be used from a page, which has no files and no classifiers."""
    if name in registry.conflicts:
        return None
    settings = _settings(registry, name, kind)
    if any(each["required"] and each["schema"] is None for each in settings):
        return None
    offer = registry.offer(name, kind)
    about = (inspect.getdoc(offer.factory) or "").partition("\n\n")[0]
    usable = [each for each in settings if each["schema"] is not None]
    return {"name": name, "about": _plain(about), "from": str(offer.plugin), "settings": usable}


def _settings(registry: Registry, name: str, kind: str) -> list[Json]:
    """Each setting: its JSON schema, default and meaning; a schema of None is one that a page cannot set."""
    offer = registry.offer(name, kind)
    defaults, meanings = json_defaults(offer.settings.values()), _meanings(inspect.getdoc(offer.factory) or "")
    return [
        {
            "name": parameter.name,
            "schema": _schema(parameter.annotation),
            "default": defaults.get(parameter.name),
            "required": parameter.default is inspect.Parameter.empty,
            "about": _plain(meanings.get(parameter.name, "")),
        }
        for parameter in offer.settings.values()
    ]


def _schema(annotation: Any) -> Json | None:
    """The JSON schema of an annotation; a model is chosen by its id, a path or a classifier cannot be chosen."""
    if mentions(annotation, Denoiser):
        return {"type": "model"}
    if mentions(annotation, Classifier) or mentions(annotation, Path):
        return None
    if annotation is inspect.Parameter.empty:
        return {"type": "string"}
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).json_schema()
    except Exception:  # pydantic has many ways to say that a type is none of JSON's
        return None


_ENTRY = re.compile(r"^ {4}(\w+)(?: \([^)]*\))?: (.*(?:\n {5,}\S.*)*)", re.MULTILINE)


def _meanings(doc: str) -> dict[str, str]:
    """What a docstring's sections `Args` and `Attributes` state of each name."""
    return dict(_ENTRY.findall(doc))


def _plain(text: str) -> str:
    """Text of a docstring as one line, without its marks."""
    return re.sub(r"\s+", " ", text).replace("`", "").strip()
