"""A user's own feature extractor for KID: an ONNX file, which ONNX Runtime computes on the CPU.

An ONNX file is a graph of known operations with its weights: nothing in it is unpickled or run as Python.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmix_core.errors import DmixError
from dmix_core.files import read_limited

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LARGEST = 2_000_000_000  # bytes; protobuf, of which ONNX files consist, has no larger messages
AT_ONCE = 32  # windows
SHOWN = 8  # hexadecimal digits of the checksum in the name
EXPECTED = (
    "Expected one input of float32 (B, C, H, W), C = 1 or 3 and B free or 1, and one output of float32 (B, F), or "
    "(B, F, h, w), whose mean over places is taken."
)


class FeaturesError(DmixError):
    """A feature extractor that cannot be used."""


class OnnxFeatures(nn.Module):
    """The features that a network in an ONNX file computes of windows.

    The network is given float32 (B, C, H, W) in [0, 1], grey windows in all C channels (1 or 3); whatever other range
    or mean it was trained for belongs into its graph. Where it states H and W, windows are resized to them bilinearly.
    It gives float32 (B, F), or (B, F, h, w), of which the means over places are taken.

    Args:
        path: the file, with its weights in it.
        checksum: of the file, sha256 in hexadecimal digits; None: any.
        side: of the windows that it will be given; two black ones are tried at once.

    Attributes:
        name: the file's name and the beginning of its checksum.
        sha256: the whole checksum.
        shape: (C, H, W) that the network is given; None for a side that is free.
        num_features: F.

    Raises:
        FeaturesError: ONNX Runtime is not installed, the file cannot be read or is another one, or its network takes
            or gives something else.
    """

    def __init__(self, path: str | Path, checksum: str | None = None, side: int = 64) -> None:
        super().__init__()
        path = Path(path)
        self.path = str(path)
        data = _read(path)
        self.sha256 = sha256(data).hexdigest()
        if checksum is not None and checksum.strip().lower() != self.sha256:
            raise FeaturesError(f"The sha256 of {self.path!r} is {self.sha256}; expected {checksum}, as was given.")
        self.file = path.name
        self.name = f"features of {path.name}, sha256 {self.sha256[:SHOWN]}"
        self._session = _session(self.path, data)
        self.batch, self.shape = self._input()
        self.num_features = self._tried(side).shape[1]

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, h, w) uint8 to (B, F) float32."""
        channels, *sides = self.shape
        size = [side or own for side, own in zip(sides, x.shape[2:], strict=True)]
        images = x.float() / 255
        if size != [*x.shape[2:]]:
            images = F.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)
        images = images.expand(-1, channels, -1, -1)
        return torch.cat([self._of(part) for part in images.split(self.batch)])

    def record(self) -> dict[str, Any]:
        """What decides the features, as JSON has it."""
        return {"file": self.file, "sha256": self.sha256, "input": [*self.shape], "features": self.num_features}

    def _input(self) -> tuple[int, tuple[int, int | None, int | None]]:
        """How many windows the network takes at once, and (C, H, W) of them."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        stated = [(each.type, each.shape) for each in inputs]
        if len(outputs) != 1 or len(inputs) != 1 or stated[0][0] != "tensor(float)" or len(stated[0][1]) != 4:
            raise self._refused(f"takes {stated} and gives {len(outputs)} outputs")
        known = [side if isinstance(side, int) and side > 0 else None for side in stated[0][1]]
        batch, channels, height, width = known
        if batch not in (None, 1) or channels not in (1, 3):
            raise self._refused(f"takes {stated[0][1]}")
        return batch or AT_ONCE, (channels, height, width)

    def _tried(self, side: int) -> Tensor:
        """What it gives for two black windows, before any picture is read."""
        found = self(torch.zeros(2, 1, side, side, dtype=torch.uint8))
        if len(found) != 2:
            raise self._refused(f"gives {len(found)} rows for two windows")
        return found

    def _of(self, images: Tensor) -> Tensor:
        """(B, F) of a batch."""
        (name,) = (each.name for each in self._session.get_inputs())
        try:
            (found,) = self._session.run(None, {name: np.ascontiguousarray(images.numpy())})
        except Exception as error:  # ONNX Runtime's own, which have no common class
            raise self._refused(f"cannot compute windows of {tuple(images.shape)} ({error})") from error
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.ndim not in (2, 4):
            kind = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
            raise self._refused(f"gives {kind}")
        features = torch.from_numpy(found)
        features = features.mean((2, 3)) if features.ndim == 4 else features
        if not features.isfinite().all():
            raise FeaturesError(f"The network in {self.path!r} gives values that are not finite; expected finite ones.")
        return features

    def _refused(self, what: str) -> FeaturesError:
        return FeaturesError(f"The network in {self.path!r} {what}. {EXPECTED}")


def _read(path: Path) -> bytes:
    try:
        return read_limited(path, LARGEST)
    except OSError as error:
        raise FeaturesError(f"Cannot read {str(path)!r} ({error.strerror}); expected an ONNX file.") from error


def _session(path: str, data: bytes) -> "InferenceSession":
    """The network of a file's bytes, which are those of the checksum; weights in other files are refused."""
    try:
        import onnxruntime
    except ImportError as error:
        raise FeaturesError(
            f"ONNX Runtime cannot be used ({error}), but {path!r} needs it. Install it with "
            "`pip install 'dmix-eval[features]'`."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # errors are raised, too
    # of bytes, weights in other files would be looked for where the command runs, and no checksum covers them
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own, which have no common class
        raise FeaturesError(
            f"{path!r} is no ONNX file that ONNX Runtime can load ({error}). Expected one with its weights in it, as "
            "torch.onnx.export(..., external_data=False) writes it; checkpoints of torch (.pt) are not read."
        ) from error
