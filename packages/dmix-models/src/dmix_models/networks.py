"""Families of networks. A family is a subclass of NetworkConfig: what its networks need to be built, and how.

Another package adds a family by an entry point of the group "dmix_networks", whose name is the `kind` and whose value
names the class; it is imported when a config of that kind is read, and not before:

    [project.entry-points.dmix_networks]
    transformer = "my_package.transformer:TransformerConfig"
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny
from torch import nn

from dmix_core.discovery import installed, is_allowed
from dmix_core.errors import did_you_mean

GROUP = "dmix_networks"
BUILT_IN = {"unet": "dmix_models.unet:UNetConfig"}

Shapes = dict[str, tuple[int, ...]]
"""The name and shape of each parameter of a network."""
Channels = Annotated[int, Field(gt=0, le=2048)]


class NetworkConfig(BaseModel):
    """What a network needs to be built. A family adds its fields, and states its `kind` as a Literal with a default.

    Attributes:
        kind: the name of the family.
        in_channels: of the noisy image and mask, C+M.
        out_channels: C+M, or 2 (C+M) where the network predicts its variance as well.
        num_classes: the network takes labels 0..num_classes-1; None: it takes none.
        dropout: the share of activations that training drops.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    in_channels: Channels
    out_channels: Channels
    num_classes: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    dropout: float = Field(0.0, ge=0, lt=1)

    @property
    def multiple(self) -> int:
        """The sides of an image must be multiples of this."""
        return 1

    def build(self) -> nn.Module:
        """The network with fresh weights: a module that is called as a dmix_core.backends.Network."""
        raise NotImplementedError(f"{type(self).__name__} has no build()")

    def likely_cause(self, given: Shapes, expected: Shapes) -> str:
        """Why weights of the shapes `given` are not those that this config's network has, in words for an error."""
        return "the weights are of another network"


def family(kind: object) -> type[NetworkConfig]:
    """The class of the configs of this kind.

    Raises:
        ValueError: there is no such family, or it cannot be imported, and why.
    """
    found = installed(GROUP)
    loaders = {each.entry.name: each.entry.load for each in found if is_allowed(each, found)}
    loaders |= {name: partial(_imported, place) for name, place in BUILT_IN.items()}
    if not isinstance(kind, str) or kind not in loaders:
        close = did_you_mean(kind, loaders) if isinstance(kind, str) else ""
        raise ValueError(f"there is no kind {kind!r} of networks.{close} Known kinds: {', '.join(sorted(loaders))}")
    try:
        loaded = loaders[kind]()
    except Exception as error:  # a foreign module may raise anything when it is imported
        raise ValueError(f"the networks of kind {kind!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, NetworkConfig)):
        raise ValueError(f"the networks of kind {kind!r} are {loaded!r}; expected a subclass of NetworkConfig")
    return loaded


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _read(value: object) -> object:
    """A mapping as the config of its kind; errors keep their places."""
    if not isinstance(value, Mapping):
        return value
    config = family(value.get("kind"))
    if unknown := [key for key in value if key not in config.model_fields]:
        key = str(unknown[0])
        raise ValueError(f"unknown key {key!r}.{did_you_mean(key, config.model_fields)}")
    return config.model_validate(dict(value))


AnyNetwork = Annotated[SerializeAsAny[NetworkConfig], BeforeValidator(_read)]
"""A field with the config of any family, told apart by its `kind`."""
