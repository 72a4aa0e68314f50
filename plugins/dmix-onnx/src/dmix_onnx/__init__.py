"""ONNX Runtime for dmix: a backend of runs, and models as ONNX files that need no torch."""

from .backend import OnnxRuntime
from .graphs import network_graph
from .models import write_model

__all__ = ["OnnxRuntime", "network_graph", "write_model"]
