"""The denoisers that recipes name, each made once."""

import json
from collections.abc import Mapping
from typing import Any

from .backends import Compute
from .protocols import Denoiser
from .registry import DEFAULT, Registry


class Loader:
    """Makes the denoisers of recipes by their names, and keeps them: what is asked for again is not loaded again.

    Composers and runs that are made with one loader share its networks, so that many recipes of the same models load
    each model once.

    Args:
        registry: where names come from; None: everything that is installed.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry or Registry.load()
        self._made: dict[tuple[str, Compute, str], Denoiser] = {}

    def denoiser(
        self, reference: str, compute: Compute = DEFAULT, settings: Mapping[str, Any] | None = None
    ) -> Denoiser:
        """The denoiser of a reference; errors as for `Registry.denoiser`.

        Args:
            compute: where and how its networks are computed.
            settings: those of its factory; a reference to a denoiser among them is made here, too.
        """
        name, _ = self.registry.resolve(reference)
        stated = self.registry.complete_settings(name, settings or {}, "denoiser")
        key = _key(reference, compute, stated)
        if key not in self._made:
            given = self._with_denoisers(name, stated, compute)
            self._made[key] = self.registry.denoiser(reference, compute, given)
        return self._made[key]

    def wrapped(self, denoiser: Denoiser, name: str, compute: Compute, settings: Mapping[str, Any]) -> Denoiser:
        """A denoiser of this loader within a wrapper; errors as for `Registry.wrapped`."""
        stated = self.registry.complete_settings(name, settings, "wrapper")
        key = _key(f"{id(denoiser)} in {name}", compute, stated)
        if key not in self._made:
            given = self._with_denoisers(name, stated, compute)
            self._made[key] = self.registry.wrapped(denoiser, name, given, compute)
        return self._made[key]

    def _with_denoisers(self, name: str, settings: Mapping[str, Any], compute: Compute) -> dict[str, Any]:
        """The settings of a model or wrapper, with denoisers in the place of references to them."""
        texts = {key: value for key, value in settings.items() if isinstance(value, str)}
        references = texts.keys() & self.registry.model_settings(name) if texts else ()
        made = {key: self.denoiser(texts[key], compute) for key in references}
        return {**settings, **made}


def _key(name: str, compute: Compute, settings: Mapping[str, Any]) -> tuple[str, Compute, str]:
    return name, compute, json.dumps(settings, sort_keys=True)
