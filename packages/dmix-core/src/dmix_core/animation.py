"""An animated picture of a denoising."""

import io
from pathlib import Path

from PIL import Image

from .composer import Composer
from .files import write_atomically
from .pictures import fit
from .step import Step

FRAMES, FRAME_MS, LAST_MS = 60, 50, 1500


class DenoisingGif:
    """How one sample came about, from noise to the finished image: feed it every step, then write it.

    Args:
        composer: the one whose steps it is fed.
        frames: how many frames at most, at even distances along the walk; the finished image comes after them.
        row: which of the samples that are composed together.
    """

    def __init__(self, composer: Composer, frames: int = FRAMES, row: int = 0) -> None:
        steps = len(composer.walk) - 1
        count = min(frames, steps)
        self._wanted = {i * steps // count for i in range(count)}
        self._row = row
        self.restart()

    def restart(self) -> None:
        """Forget all steps, as before the first: the sample is drawn again."""
        self._seen = 0
        self._frames: list[Image.Image] = []
        self._finished: list[Image.Image] = []

    def add(self, step: Step) -> None:
        """Keep the frame of a step, if it is one of those that are shown."""
        if self._seen in self._wanted:
            self._frames.append(fit(step.preview(noisy=True)[self._row]))
        self._seen += 1
        if step.s == 0:
            self._finished = [fit(step.preview()[self._row])]

    def write(self, path: str | Path) -> Path:
        """Write the GIF once the last step was added, whole or not at all.

        Raises:
            DmixError: the file cannot be written.
        """
        first, *others = self._frames + self._finished
        durations = [FRAME_MS] * len(self._frames) + [LAST_MS] * len(self._finished)
        buffer = io.BytesIO()
        first.save(buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
        return write_atomically(path, buffer.getvalue())
