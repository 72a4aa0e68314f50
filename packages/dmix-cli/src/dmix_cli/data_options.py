"""The options of commands that read data sets."""

from typing import Any

from dmix_data.options import OBJECTS, DataOptions

from .failures import wrong_use
from .field_options import options_of, taken

READING = options_of(DataOptions, "layout", "split", "every", "on_error")
"""Which pictures are read."""
SCALE = options_of(DataOptions, "scale", "skip_small")
"""At which scale."""
MASKS = options_of(DataOptions, "mask_rule", "mask_suffix", *OBJECTS, "skip_empty")
"""How masks are read, and which of their parts are objects."""
PAIRS = options_of(DataOptions, "pairs")
"""What is learned beside objects."""


def data_options(given: dict[str, Any]) -> DataOptions:
    """What was given of the data, taken out of `given`; a layout or rule that is none is wrong use."""
    from dmix_data import DataError
    from dmix_data.layouts import named

    options = taken(DataOptions, given, **_classes(given))
    if options.layout is not None:
        with wrong_use(DataError):
            named(options.layout)
    return options


def _classes(given: dict[str, Any]) -> dict[str, Any]:
    """No classes are all classes."""
    return {"classes": tuple(given.pop("classes", None) or ()) or None}
