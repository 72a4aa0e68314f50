"""The names that this package brings."""

from collections.abc import Callable, Mapping

from dmix_core.backends import Backend
from dmix_core.hookspecs import hookimpl

from .backend import OnnxRuntime


@hookimpl
def dmix_backends() -> Mapping[str, Callable[..., Backend]]:
    return {"onnx": OnnxRuntime}
