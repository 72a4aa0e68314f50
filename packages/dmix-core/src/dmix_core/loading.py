"""The denoisers that recipes name, each made once."""

import json
from collections.abc import Mapping
from typing import Any

from .protocols import Denoiser
from .registry import Registry

WHERE = ("cpu", "float32")


class Loader:
    """Makes the denoisers of recipes by their names, and keeps them: what is asked for again is not loaded again.

    Composers and runs that are made with one loader share its networks, so that many recipes of the same models load
    each model once.

    Args:
        registry: where names come from; None: everything that is installed.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry or Registry.load()
        self._made: dict[str, Denoiser] = {}

    def denoiser(
        self, reference: str, where: tuple[str, str] = WHERE, settings: Mapping[str, Any] | None = None
    ) -> Denoiser:
        """The denoiser of a reference; errors as for `Registry.denoiser`.

        Args:
            where: device and dtype.
            settings: those of its factory; a reference to a denoiser among them is made here, too.
        """
        key = _key(reference, where, settings or {})
        if key not in self._made:
            name, _ = self.registry.resolve(reference)
            given = self._with_denoisers(name, settings or {}, where)
            self._made[key] = self.registry.denoiser(reference, *where, given)
        return self._made[key]

    def wrapped(self, denoiser: Denoiser, name: str, where: tuple[str, str], settings: Mapping[str, Any]) -> Denoiser:
        """A denoiser of this loader within a wrapper; errors as for `Registry.wrapped`."""
        key = _key(f"{id(denoiser)} in {name}", where, settings)
        if key not in self._made:
            given = self._with_denoisers(name, settings, where)
            self._made[key] = self.registry.wrapped(denoiser, name, given, *where)
        return self._made[key]

    def _with_denoisers(self, name: str, settings: Mapping[str, Any], where: tuple[str, str]) -> dict[str, Any]:
        """The settings of a model or wrapper, with denoisers in the place of references to them."""
        texts = {key: value for key, value in settings.items() if isinstance(value, str)}
        references = texts.keys() & self.registry.model_settings(name) if texts else ()
        made = {key: self.denoiser(texts[key], where) for key in references}
        return {**settings, **made}


def _key(name: str, where: tuple[str, str], settings: Mapping[str, Any]) -> str:
    return json.dumps([name, where, settings], sort_keys=True)
