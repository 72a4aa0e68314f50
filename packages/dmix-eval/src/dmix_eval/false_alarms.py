"""Where false alarms come from: the places of the validation part that detectors take for defects."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from dmix_core.pictures import contact_sheet, enlarge

from .detector_windows import cut
from .experiment_results import Results
from .photographs import Photograph

SIDE = 64  # pixels around an alarm
COLUMNS = 8  # alarms of each row


class Alarm(NamedTuple):
    """The surest false place in a picture: (row, column)."""

    probability: float
    photo: Photograph
    place: tuple[int, int]


def alarms(results: Results, photographs: Sequence[Photograph]) -> dict[str, list[Alarm]]:
    """The surest alarms of each row that has results, one for each picture, tested by windows."""
    by_name = {photo.name: photo for photo in photographs}
    found: dict[str, list[Alarm]] = {}
    for row in results.experiment.rows:
        best: dict[str, Alarm] = {}
        for result in results.of_row(row).values():
            for seen in result.tested["validation"]["windows"].seen:
                if seen.alarm and (seen.name not in best or seen.alarm[2] > best[seen.name].probability):
                    best[seen.name] = Alarm(seen.alarm[2], by_name[seen.name], seen.alarm[:2])
        if best:
            found[row.name] = sorted(best.values(), key=lambda each: -each.probability)[:COLUMNS]
    return found


def alarm_sheet(found: dict[str, list[Alarm]]) -> Image.Image:
    """A line of windows for each row, the surest alarm first, with its probability."""
    tiles: list[Image.Image | None] = []
    captions: list[str] = []
    for of_row in found.values():
        empty = COLUMNS - len(of_row)
        tiles += [*map(_tile, of_row), *[None] * empty]
        captions += [*(f"{each.probability:.2f}" for each in of_row), *[""] * empty]
    return contact_sheet(tiles, COLUMNS, captions, [*found])


def _tile(alarm: Alarm) -> Image.Image:
    window = cut(alarm.photo, alarm.place, SIDE)
    return enlarge(Image.fromarray(window.image.astype("uint8")), 128)
