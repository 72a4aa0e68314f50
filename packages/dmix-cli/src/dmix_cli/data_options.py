"""What may be typed of data sets."""

from dmix_models.data.files import DataError
from dmix_models.data.layouts import named
from dmix_models.data.masks import parse

from .failures import wrong_use


def check_data(layout: str | None, mask_rule: str | None = None) -> None:
    """A layout or rule that is none is wrong use; what else is wrong with data is a failure at work."""
    with wrong_use(DataError):
        if layout is not None:
            named(layout)
        if mask_rule is not None:
            parse(mask_rule)
