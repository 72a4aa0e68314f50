"""ONNX Runtime in the place of torch: the network as a graph, on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dmix_core.backends import Inputs, Network
from dmix_core.errors import BackendError

from .graphs import LABELS, TIMES, X, network_graph

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

LARGEST = 2_000_000_000
"""Bytes of a graph that is handed over in memory; protocol buffers end at 2 GiB."""


@dataclass(frozen=True)
class OnnxRuntime:
    """Exports a network to ONNX before its first call and runs it in ONNX Runtime; results agree to 1e-4.

    Attributes:
        threads: of one call; 0: as many as torch uses. They sleep while there is nothing to do.
    """

    threads: int = 0

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise BackendError(f"threads is {self.threads}; expected 1 or more, or 0 for as many as torch uses.")

    def __call__(self, network: Network, inputs: Inputs) -> Network:
        """The network in ONNX Runtime.

        Raises:
            BackendError: another arithmetic than float32, another device than the CPU, or it cannot be exported.
        """
        if inputs.dtype != "float32":
            raise BackendError(
                f"The backend 'onnx' computes in float32; dtype is {inputs.dtype}. Leave --dtype out, or choose the "
                "backend 'torch'."
            )
        if inputs.device.type != "cpu":
            raise BackendError(
                f"The backend 'onnx' computes on the CPU; the device is {inputs.device}. Choose --device cpu, or the "
                "backend 'torch'."
            )
        return Sessions(network, inputs, self.threads)


class Sessions:
    """A network in ONNX Runtime; a graph takes one time (label) for the batch, another one a time for each image."""

    def __init__(self, network: Network, inputs: Inputs, threads: int) -> None:
        self.network, self.inputs, self.threads = network, inputs, threads
        self._session = lru_cache(maxsize=None)(self._made)
        self._session(False, False)

    def __call__(self, x: Tensor, times: Tensor, labels: Tensor | None = None, /) -> Tensor:
        given = {X: x, TIMES: times} | ({} if labels is None else {LABELS: labels})
        session = self._session(len(times) > 1, labels is not None and len(labels) > 1)
        (predicted,) = session.run(None, {name: tensor.detach().numpy() for name, tensor in given.items()})
        return torch.from_numpy(predicted)

    def _made(self, each_time: bool, each_label: bool) -> InferenceSession:
        graph = network_graph(self.network, self.inputs, each_time=each_time, each_label=each_label)
        return session(graph, self.threads or torch.get_num_threads())


def session(graph: ModelProto, threads: int) -> InferenceSession:
    """The graph, ready to run.

    Raises:
        BackendError: ONNX Runtime cannot run it, and why.
    """
    import onnxruntime

    if (size := graph.ByteSize()) > LARGEST:
        raise BackendError(
            f"The network's graph has {size / 1e9:.1f} GB; the backend 'onnx' takes at most {LARGEST / 1e9:g} GB. "
            "Choose the backend 'torch'."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads would slow all others
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no class in common
        reason = str(error).strip().partition("\n")[0]
        raise BackendError(
            f"ONNX Runtime cannot run the network's graph ({type(error).__name__}: {reason}). "
            "Choose the backend 'torch'."
        ) from error
