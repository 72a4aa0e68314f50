"""The denoisers that dmix-models brings along: the bundled models by name, and any checkpoint folder."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dmix_core.errors import PluginError
from dmix_core.hookspecs import DenoiserFactory, hookimpl

from .checkpoint import bundled, load
from .denoiser import Dtype, UNetDenoiser


@hookimpl
def dmix_denoisers() -> Mapping[str, DenoiserFactory]:
    return {"checkpoint": from_folder} | {name: partial(from_bundle, name) for name in bundled()}


def from_folder(argument: str | Path | None = None, *, device: str = "cpu", dtype: Dtype = "float32") -> UNetDenoiser:
    """The denoiser of the checkpoint folder `argument`."""
    if argument is None:
        raise PluginError("'checkpoint' needs a folder; expected checkpoint:FOLDER, such as checkpoint:runs/tiles.")
    return load(argument, device, dtype)


def from_bundle(
    name: str, argument: str | None = None, *, device: str = "cpu", dtype: Dtype = "float32"
) -> UNetDenoiser:
    """The denoiser of a bundled model, which takes no argument."""
    if argument is not None:
        raise PluginError(f"The bundled model {name!r} takes no argument; got {argument!r}. Write {name} alone.")
    return load(name, device, dtype)
