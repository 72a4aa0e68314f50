"""Boxes that a file lists, in place of drawn ones: which pictures and which objects they are for.

On photographs a list is matched by names: each sample shows all boxes that are listed for its photograph, or, where
`per_image` is stated, so many of them. A photograph for which none is listed is not used, since a sample without an
object is none; a warning names it. A name for which there is no photograph is an error, since it is more likely a slip
than meant. Backgrounds of a model have no names; there each picture of the list is an arrangement, and these take
turns. Boxes without a picture, such as those of a table without the column `image`, are for every background.

A box is what the model paints, with the room around its object that it has learned; the boxes of a detector's COCO
are tight, and objects in them become smaller than the real ones were.
"""

import logging
from collections.abc import Mapping, Sequence

from dmix_core.errors import did_you_mean
from dmix_data.box_lists import Boxes, ListedBox, read_boxes

from .generate_config import MOST_OBJECTS, ConfigError, GenerateConfig

Arrangements = Mapping[str, tuple[ListedBox, ...]]
"""The boxes of each background by its name; a model's by the names in the list."""

logger = logging.getLogger(__name__)


def arrangements(config: GenerateConfig, names: Sequence[str]) -> Arrangements:
    """The boxes of each background that has some; none where no file is stated.

    Args:
        names: of the photographs; none where a model paints the backgrounds.

    Raises:
        DataError: the file cannot be read.
        ConfigError: it names a photograph or a class that is none, or too many boxes for one sample.
    """
    if config.boxes is None:
        return {}
    boxes = read_boxes(config.boxes)
    _check_classes(config, boxes)
    everywhere = tuple(boxes.pop("", ()))
    found = _of_photographs(config.boxes, boxes, names) if names else {name: tuple(boxes[name]) for name in boxes}
    if everywhere:
        found = {name: (*everywhere, *found.get(name, ())) for name in (names or found or ("",))}
    for name, some in found.items():
        if len(some) + len(config.objects) - len(config.drawn) > MOST_OBJECTS:
            raise ConfigError(f"{config.boxes!r} lists {len(some)} boxes of {name!r}; expected at most {MOST_OBJECTS}.")
    if left_out := [name for name in names if name not in found]:
        shown = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
        logger.warning(
            "Left out %d of %d photographs, since %s lists no boxes for them: %s",
            len(left_out),
            len(names),
            config.boxes,
            shown,
        )
    return found


def _of_photographs(source: str, boxes: Boxes, names: Sequence[str]) -> dict[str, tuple[ListedBox, ...]]:
    """The boxes by the photograph's path within its folder, or by its file's name where only one is called so."""
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(name.rpartition("/")[2], []).append(name)
    found: dict[str, tuple[ListedBox, ...]] = {}
    for listed, some in boxes.items():
        candidates = [listed] if listed in names else known.get(listed.rpartition("/")[2], [])
        if len(candidates) != 1:
            several = f"several photographs are called so: {', '.join(candidates)}. Expected their paths"
            none = f"no photograph is called so.{did_you_mean(listed, names)} Expected paths"
            why = several if candidates else none
            raise ConfigError(f"{source!r} lists boxes of {listed!r}, but {why} within the folder of backgrounds.")
        found[candidates[0]] = (*found.get(candidates[0], ()), *some)
    return found


def _check_classes(config: GenerateConfig, boxes: Boxes) -> None:
    known = config.classes_drawn
    for name in dict.fromkeys(each.class_name for some in boxes.values() for each in some):
        if name and name not in known:
            raise ConfigError(
                f"{config.boxes!r} lists boxes of the class {name!r}, which no object has.{did_you_mean(name, known)} "
                f"Expected some of: {', '.join(known)}; name an object's by `objects` MODEL,class={name}."
            )
