"""What the page shows of a step: every region by itself, and the canvas where regions have met."""

import base64
import io
import time
from typing import Any

from torch import Tensor

from dmix_core.images import to_picture
from dmix_core.protocols import Region
from dmix_core.step import Step

SHARE = 0.2
"""Of the time, at most, that drawing takes; where steps are fast or the canvas is large, some steps are not drawn."""


class Frames:
    """Draws steps, as many of them as leave most of the time to the networks."""

    def __init__(self) -> None:
        self._next = 0.0

    def of(self, step: Step) -> dict[str, Any]:
        """The pictures of a step; nothing on a climb, or where the last drawing took too long to draw again now."""
        started = time.monotonic()
        ends = step.s == 0
        if step.predictions is None or (started < self._next and not ends):
            return {}
        drawn: dict[str, Any] = {"parts": [_part(*each) for each in zip(step.regions, step.predictions, strict=True)]}
        drawn["patches"] = _patches(step)
        spent = time.monotonic() - started
        self._next = started + spent / SHARE
        return drawn


def _part(region: Region, prediction: Any) -> dict[str, str] | None:
    """A region's own picture and mask, on its own grid; None for a still one, which never changes."""
    spec = region.denoiser.spec
    if spec.still:
        return None
    clean = spec.decoded(prediction.clean)[0]
    image, mask = clean[: spec.picture.image_channels], clean[spec.picture.image_channels :]
    return {"image": data_url(image)} | ({"mask": data_url(mask)} if len(mask) else {})


def _patches(step: Step) -> list[dict[str, Any]]:
    """The parts of the canvas in which regions have met, with their places (x, y, width, height)."""
    canvas = step.canvas
    if canvas is None:
        return []
    if canvas.whole:
        return [{"box": [*canvas.box], "image": data_url(canvas.merged.canvas[0])}]
    return [
        {"box": [*place], "image": data_url(place.seen_from(meeting.window.box).crop(meeting.merged.canvas)[0])}
        for meeting, place in canvas.places()
    ]


def data_url(image: Tensor) -> str:
    """An image (1, 3 or 4, H, W) in [-1, 1] as the URL of a PNG that is compressed in little time."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
