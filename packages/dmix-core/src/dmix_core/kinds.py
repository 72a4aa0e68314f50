"""The kinds of parts that plugins bring. A new kind is a hook in `hookspecs` and one line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

Kind = str
"""A key of KINDS, such as "merge rule"."""


class Form(NamedTuple):
    """The hook of a kind, and how its factories are called, their settings apart."""

    hook: str
    one: bool = False
    """With one positional argument."""
    given: tuple[str, ...] = ()
    """With keyword arguments that state where to compute."""
    expected: str = "settings alone"
    """The signature of a factory, for error messages."""
    apart: bool = False
    """Its names are its own: a layout, a format and an exporter have the same name where they are of one thing."""
    parts: tuple[str, ...] = ("__call__",)
    """What its protocol asks for: attributes that anything of this kind has."""


_PREDICTS = ("spec", "noise", "__call__")
_DENOISER = "(argument=None, *, device='cpu', dtype='float32'), and settings"

KINDS: Mapping[Kind, Form] = MappingProxyType(
    {
        "merge rule": Form("dmix_merge_rules"),
        "timestep schedule": Form("dmix_timestep_schedules"),
        "stepper": Form("dmix_steppers", parts=("init", "step")),
        "denoiser": Form("dmix_denoisers", True, ("device", "dtype"), _DENOISER, parts=_PREDICTS),
        "wrapper": Form("dmix_wrappers", True, (), "(denoiser), and settings", parts=_PREDICTS),
        "classifier": Form("dmix_classifiers", True, ("device",), "(argument=None, *, device='cpu')"),
        "exporter": Form("dmix_exporters", parts=("open",)),
        "backend": Form("dmix_backends"),
        "layout": Form("dmix_layouts", apart=True, parts=("name",)),
        "format": Form("dmix_formats", apart=True, parts=("name", "write")),
        "engine": Form("dmix_engines", apart=True, parts=("units",)),
    }
)


class Key(NamedTuple):
    """What is unique: a name among those of its kind, where these are apart, or among all others."""

    apart: Kind | None
    name: str


def key_of(name: str, kind: Kind | None) -> Key:
    return Key(kind if kind and KINDS[kind].apart else None, name)


HOOKS: Mapping[str, Kind] = MappingProxyType({form.hook: kind for kind, form in KINDS.items()})
