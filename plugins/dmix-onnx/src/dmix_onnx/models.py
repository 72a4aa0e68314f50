"""A model as one ONNX file, with what a sampler needs to know of it."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from dmix_core.backends import Inputs
from dmix_core.errors import BackendError
from dmix_core.files import write_atomically
from dmix_models import NetworkDenoiser

from .backend import LARGEST
from .graphs import network_graph


def write_model(denoiser: object, path: str | Path) -> Path:
    """Write a model's network as an ONNX file for batches of any size; returns the path.

    The file's metadata has `config`, the model's config.json, and `alpha_bar`, its noise table at the levels 0..T, as
    JSON: level 0 is clean, and the network is called with the time t - 1 at level t.

    Raises:
        BackendError: it is no model with a network of its own, or the network cannot be exported.
        WriteError: the file cannot be written.
    """
    if not isinstance(denoiser, NetworkDenoiser):
        raise BackendError(f"{type(denoiser).__name__} has no network to export; expected a model of dmix.")
    spec, config = denoiser.spec, denoiser.config
    inputs = Inputs(spec.channels, spec.size, len(config.classes), torch.device("cpu"), "float32")
    graph = network_graph(denoiser.network, inputs)
    notes = {"config": config.model_dump_json(), "alpha_bar": json.dumps(denoiser.noise.alpha_bar.tolist())}
    for key, value in notes.items():
        graph.metadata_props.add(key=key, value=value)
    if graph.ByteSize() > LARGEST:
        raise BackendError(f"The model has {graph.ByteSize() / 1e9:.1f} GB; one ONNX file holds {LARGEST / 1e9:g} GB.")
    return write_atomically(Path(path), graph.SerializeToString())
