"""Networks as ONNX graphs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from dmix_core.backends import Inputs, Network
from dmix_core.errors import BackendError, DmixError

if TYPE_CHECKING:
    from onnx import ModelProto

X, TIMES, LABELS, PREDICTED = "x", "times", "labels", "predicted"
"""The names of a graph's inputs, of which LABELS is there for networks with classes, and of its output."""


def network_graph(network: Network, inputs: Inputs, *, each_time: bool = False, each_label: bool = False) -> ModelProto:
    """A network as a graph for batches of any size, on images of `inputs.size`.

    Args:
        each_time: it takes a time for each image, (B,), in the place of one for the batch, (1,).
        each_label: the same of labels.

    Returns:
        a graph of x (B, C+M, h, w) float32, times int64 and, where there are classes, labels int64.

    Raises:
        BackendError: the network cannot be written as a graph, and why.
    """
    import onnxscript  # noqa: F401 - torch's exporter is written in it

    # with a time for each image there are two images or more; networks may tell one time from several
    batch = torch.export.Dim("batch", min=2 if each_time or each_label else 1, max=1 << 20)
    count, label_count = 2 if each_time else 1, 2 if each_label else 1
    arguments = [torch.zeros(2, inputs.channels, *inputs.size), torch.zeros(count, dtype=torch.int64)]
    shapes = [{0: batch}, {0: batch} if each_time else None]
    if inputs.classes:
        arguments.append(torch.zeros(label_count, dtype=torch.int64))
        shapes.append({0: batch} if each_label else None)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                Called(network).eval(),
                tuple(arguments),
                dynamo=True,
                dynamic_shapes=(tuple(shapes),),
                input_names=[X, TIMES, LABELS][: len(arguments)],
                output_names=[PREDICTED],
                verbose=False,
            )
    except DmixError:
        raise
    except Exception as error:  # the exporter's errors have no class in common
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise BackendError(
            f"The network cannot be exported to ONNX ({type(error).__name__}: {reason}). Expected a network of torch's "
            "operations without decisions that depend on values; the backend 'torch' runs every network."
        ) from error
    graph = cast("ModelProto", program.model_proto)  # type: ignore[union-attr]
    if not graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise BackendError(
            "The network cannot be exported to ONNX for batches of any size: what it computes depends on the number of "
            "images. The backend 'torch' runs every network."
        )
    return graph


class Called(nn.Module):
    """A network as a module, which is what the exporter takes."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, *arguments: Tensor) -> Tensor:
        return self.network(*arguments)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports which operations of packages that are not installed it does not know."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
