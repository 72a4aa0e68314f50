"""A training's numbers and previews for TensorBoard; needs the extra `tensorboard`."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from dmix_core.errors import DmixError
from dmix_core.image_files import decode

TAGS = {
    "loss": "loss/total",
    "image_loss": "loss/image",
    "mask_loss": "loss/mask",
    "learning_rate": "training/learning rate",
    "grad_norm": "training/gradient norm",
    "images_per_second": "training/images per second",
}


class TensorBoardError(DmixError):
    """TensorBoard was asked for and is not installed."""


def check_installed() -> None:
    """Refuse to begin what could not be written.

    Raises:
        TensorBoardError: TensorBoard is not there.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise TensorBoardError(
            f"TensorBoard cannot be used ({error}). Install it with `pip install 'dmix-models[tensorboard]'`, or train "
            "without it: metrics.jsonl and report.html hold the same."
        ) from error


class Board:
    """Event files in a folder, to be entered as a context.

    Args:
        done: how many steps are done; what an earlier run has written of later ones is purged when it is shown.
    """

    def __init__(self, folder: Path, done: int) -> None:
        self.folder, self.done = folder, done

    def __enter__(self) -> Self:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(self.folder), purge_step=self.done + 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.writer.close()

    def write(self, line: Mapping[str, Any]) -> None:
        """Write a line of metrics.jsonl."""
        step = line["step"]
        values = {tag: line.get(key) for key, tag in TAGS.items()}
        values |= {f"loss/quarter {number}": value for number, value in enumerate(line.get("quarters", ()), 1)}
        for tag, value in values.items():
            if value is not None:
                self.writer.add_scalar(tag, value, step)
        self.writer.flush()

    def show(self, preview: Path, step: int) -> None:
        """Write a preview's picture."""
        self.writer.add_image("preview", np.asarray(decode(preview).convert("RGB")), step, dataformats="HWC")
        self.writer.flush()
