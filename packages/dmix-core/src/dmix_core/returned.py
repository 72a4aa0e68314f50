"""What parts return is what they promise to return; where it is not, the error names the part and its package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor

from .backends import Backend, Network
from .errors import BackendError, CompositionError, DenoiserError, DmixError, PluginError, ScheduleError
from .exporters import Exporter, ExportWriter
from .protocols import Denoiser, Merged, MergeRule, Prediction, Stepper, TimestepSchedule


def prediction_of(denoiser: Denoiser, returned: Any) -> Prediction:
    """The prediction that a denoiser returned.

    Raises:
        DenoiserError: it is something else.
    """
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Tensor)):
        _refuse(DenoiserError, "denoiser", denoiser, returned, "a Prediction(clean, spread) with a tensor as `clean`")
    if not isinstance(returned[1], Tensor | None):
        _refuse(DenoiserError, "denoiser", denoiser, returned[1], "a tensor or None as `spread`")
    return Prediction(*returned)


def stepped_of(stepper: Stepper, returned: Any) -> tuple[Tensor, Any]:
    """The next state of a region, and the stepper's own, that a stepper returned.

    Raises:
        CompositionError: it is something else.
    """
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Tensor)):
        _refuse(
            CompositionError, "stepper", stepper, returned, "a tuple of the next state, a tensor, and its own state"
        )
    return returned


def merged_of(rule: MergeRule, returned: Any) -> Merged:
    """What a merge rule returned.

    Raises:
        CompositionError: it is something else.
    """
    if not (isinstance(returned, Merged) and all(isinstance(part, Tensor) for part in returned[:2])):
        _refuse(CompositionError, "merge rule", rule, returned, "a Merged(canvas, weights) of tensors")
    return returned


def levels_of(schedule: TimestepSchedule, returned: Any) -> Sequence[int]:
    """The levels that a timestep schedule returned.

    Raises:
        ScheduleError: it is something else.
    """
    if not (isinstance(returned, Sequence) and all(isinstance(level, int) for level in returned)):
        _refuse(ScheduleError, "timestep schedule", schedule, returned, "a sequence of whole numbers, the levels")
    return returned


def network_of(backend: Backend, returned: Any) -> Network:
    """What a backend made of a network.

    Raises:
        BackendError: it cannot be called.
    """
    if not callable(returned):
        _refuse(BackendError, "backend", backend, returned, "a function in the network's place")
    network: Network = returned
    return network


def writer_of(exporter: Exporter, returned: Any) -> ExportWriter:
    """The writer that an exporter opened.

    Raises:
        PluginError: it is something else.
    """
    if not all(hasattr(returned, method) for method in ("add", "close", "discard")):
        _refuse(PluginError, "exporter", exporter, returned, "an ExportWriter from `open`")
    writer: ExportWriter = returned
    return writer


def paths_of(writer: ExportWriter, returned: Any) -> Sequence[Path]:
    """The files that a writer of an exporter finished.

    Raises:
        PluginError: it is something else.
    """
    if not (isinstance(returned, Sequence) and all(isinstance(path, Path) for path in returned)):
        _refuse(PluginError, "writer", writer, returned, "the paths of the files that `add` or `close` finished")
    return returned


def returned_in_words(returned: object) -> str:
    """What a wrong answer is, without its content, which may be long."""
    return "None" if returned is None else f"an object of the type {type(returned).__name__}"


def _refuse(error: type[DmixError], kind: str, part: object, returned: object, expected: str) -> NoReturn:
    made = part if hasattr(part, "__qualname__") else type(part)
    package = getattr(made, "__module__", "").partition(".")[0]
    name = f"{getattr(made, '__qualname__', made)!r} of the package {package}"
    raise error(f"The {kind} {name} returned {returned_in_words(returned)}; expected {expected}.")
