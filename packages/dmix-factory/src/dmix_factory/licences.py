"""What a set is made from, and under which licences."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dmix_core.errors import did_you_mean
from dmix_core.protocols import Denoiser

from .generate_config import ConfigError, GenerateConfig
from .sources import Sources

WHOLE, PHOTOGRAPHS = "set", "photographs"
NOT_STATED = "not stated"
"""What `dmix train` writes into a model card without a licence."""


class Origins(NamedTuple):
    """Of a set, its photographs and its models, by their names: where they come from, and what licences are known."""

    sources: dict[str, str]
    licences: dict[str, str]


def origins_of(config: GenerateConfig, sources: Sources, models: Mapping[str, Denoiser]) -> Origins:
    """Where all parts of a set come from.

    Licences are what the config states, and otherwise what a model states in a mapping `card`, as dmix's models do.

    Args:
        models: by their references.

    Raises:
        ConfigError: a licence of what is no part of the set.
    """
    cards = {name: getattr(model, "card", {}) for name, model in models.items()}
    trained = {name: card.get("training data", "") for name, card in cards.items()}
    origins = {name: f"a model trained on {data}" if data else "a model" for name, data in trained.items()}
    if sources.real:
        origins[PHOTOGRAPHS] = (
            f"{len(sources.backgrounds)} photographs of a folder {Path(config.backgrounds).resolve().name!r}"
        )
    _check_known(config.licence, (WHOLE, *((PHOTOGRAPHS,) if sources.real else ()), *models))
    stated = {name: card.get("licence", NOT_STATED) for name, card in cards.items()} | config.licence
    return Origins(origins, {name: text for name, text in stated.items() if text != NOT_STATED})


def _check_known(licences: Mapping[str, str], known: tuple[str, ...]) -> None:
    for name in licences:
        if name not in known:
            raise ConfigError(
                f"licence states one of {name!r}, which is no part of the set.{did_you_mean(name, known)} Expected "
                f"WHAT=TEXT with one of {', '.join(known)}, or the TEXT alone for the set."
            )
