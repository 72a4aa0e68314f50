"""Where the pictures of a set come from, in their files and in their hashes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from dmix_core.images import png_bytes, to_picture
from dmix_core.marks import COMPOSITE, GENERATED, Mark

from .crophash import centre_hash
from .phash import phash


class Stamped(NamedTuple):
    """A picture's file, with its mark, and the hashes by which copies and crops of it are found."""

    content: bytes
    phash: str = ""
    centre: str = ""


def stamped(
    picture: Tensor | Image.Image, recipe: Mapping[str, Any], *, real: bool = False, grey: bool = False
) -> Stamped:
    """A generated picture as a PNG that states so.

    Args:
        picture: an image in [-1, 1] as `dmix_core.images.to_picture` takes it, or a picture.
        recipe: what makes it again, short: the recipe's digest, seed, number and the names of the models.
        real: whether a photograph is part of it.
        grey: whether it is saved as a grey picture.
    """
    drawn = to_picture(picture, grey=grey) if isinstance(picture, Tensor) else picture
    mark = Mark(COMPOSITE if real else GENERATED, recipe)
    return Stamped(png_bytes(drawn, grey=grey, mark=mark), phash(drawn), centre_hash(drawn))
