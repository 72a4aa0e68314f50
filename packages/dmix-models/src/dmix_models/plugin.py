"""The denoisers that dmix-models brings along: the bundled models by name, and any checkpoint folder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from torch import nn

from dmix_core.errors import DenoiserError, PluginError
from dmix_core.hookspecs import DenoiserFactory, hookimpl
from dmix_core.registry import split_label
from dmix_data.paths import pictures_in

from .checkpoint import CONFIG, WEIGHTS, bundled, check_sum, find, load, read_config
from .denoiser import Dtype, NetworkDenoiser

_networks: WeakValueDictionary[tuple[object, ...], nn.Module] = WeakValueDictionary()
"""Those in use, so that labels of one model share its network: by device, paths, and what distinguishes files."""


@hookimpl
def dmix_denoisers() -> Mapping[str, DenoiserFactory]:
    return {"checkpoint": from_folder} | {name: Bundle(name) for name in bundled()}


def from_folder(
    argument: str | Path | None = None, *, device: str = "cpu", dtype: Dtype = "float32", grid: str | None = None
) -> NetworkDenoiser:
    """The denoiser of the checkpoint "FOLDER", or "FOLDER:LABEL" for a class of a class-conditional one.

    Args:
        grid: WIDTHxHEIGHT in pixels on which it paints at its own scale; None: as large as it was trained.
    """
    if argument is None:
        raise PluginError("'checkpoint' needs a folder; expected checkpoint:FOLDER, such as checkpoint:runs/tiles.")
    folder, label = split_label(str(argument))
    _check_no_photographs(folder)
    return _on(grid, labelled(_load(find(folder), device, dtype), label, str(folder)))


def _check_no_photographs(folder: Path) -> None:
    if not (folder / CONFIG).exists() and (pictures := pictures_in(folder)):
        raise PluginError(
            f"The folder {str(folder)!r} holds pictures, not a model. Name one of them, such as {str(pictures[0])!r}, "
            f"or train a model on all of them and name that: dmix train background {folder} -o MODEL; for pictures of "
            f"objects with masks, dmix train object {folder} -o MODEL."
        )


@dataclass(frozen=True)
class Bundle:
    """Makes the denoiser of a bundled model; the argument is the class of a class-conditional one, `grid` as above."""

    name: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """Its classes, of which each can be composed."""
        return read_config(find(self.name)).object_classes

    def __call__(
        self, argument: str | None = None, *, device: str = "cpu", dtype: Dtype = "float32", grid: str | None = None
    ) -> NetworkDenoiser:
        return _on(grid, labelled(_load(find(self.name), device, dtype), argument, self.name))


def _on(grid: str | None, denoiser: NetworkDenoiser) -> NetworkDenoiser:
    if grid is None:
        return denoiser
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", grid)
    if not match:
        raise PluginError(f"grid is {grid!r}; expected WIDTHxHEIGHT in pixels, such as 128x64.")
    try:
        return denoiser.with_size((int(match[2]), int(match[1])))
    except DenoiserError as error:
        raise PluginError(str(error)) from error


def labelled(denoiser: NetworkDenoiser, label: str | None, reference: str) -> NetworkDenoiser:
    """The denoiser painting the class of this label, None for a model without classes.

    Raises:
        PluginError: the model has no such class, none at all, or several and none was chosen.
    """
    if label is not None:
        try:
            return denoiser.with_label(label)
        except DenoiserError as error:
            raise PluginError(str(error)) from error
    if classes := denoiser.config.object_classes:
        raise PluginError(
            f"Model {denoiser.config.name!r} is class-conditional; expected {reference}:CLASS with one of its classes: "
            f"{', '.join(classes[:10])}{', ...' * (len(classes) > 10)}."
        )
    return denoiser


def _load(folder: Path, device: str, dtype: Dtype) -> NetworkDenoiser:
    """`load`, with the network of another denoiser that is in use, where it is the same."""
    files = [(path.resolve(), path.stat().st_mtime_ns, path.stat().st_size) for path in _files(folder)]
    network = _networks.get((device, *files))
    if network is not None and _is_on(network, device):
        return NetworkDenoiser(read_config(folder), network, dtype=dtype, sha256=check_sum(folder))
    denoiser = load(folder, device, dtype)
    _networks[device, *files] = denoiser.network
    return denoiser


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / CONFIG, folder / WEIGHTS) if path.exists()]


def _is_on(network: nn.Module, device: str) -> bool:
    """Whether it is still where it was loaded to."""
    return next(network.parameters()).device == torch.empty(0, device=device).device
