"""The mark of a generated picture: XMP metadata that state how it came about, for people and tools alike.

It has IPTC's DigitalSourceType (IPTC Photo Metadata Standard 2023.1), which platforms read, and a compact recipe.
Whoever saves a picture again may lose it: that there is no mark shows nothing.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from typing import Any

from .image_files import metadata

GENERATED, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
KEYWORD = "XML:com.adobe.xmp"
"""Of the text chunk of a PNG that holds XMP."""

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_SOURCE_TYPE = re.compile(r"digitalsourcetype/(\w{1,80})")
_RECIPE = re.compile(r'dmix:Recipe="([^"]{0,65536})"')


@dataclass(frozen=True)
class Mark:
    """How a picture came about.

    Attributes:
        source_type: a term of IPTC's digital source types, such as GENERATED, or COMPOSITE where a photograph is part
            of the picture.
        recipe: what makes it again, as JSON has it: digests, seed, number; empty in the marks of other programs.
    """

    source_type: str
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_generated(self) -> bool:
        """Whether a trained model has drawn the picture or parts of it."""
        return self.source_type in (GENERATED, COMPOSITE)

    def xmp(self) -> str:
        """The mark as an XMP packet; the same mark gives the same text."""
        recipe = json.dumps(dict(self.recipe), sort_keys=True, separators=(",", ":"))
        return (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
            'xmlns:dmix="urn:dmix:mark:1" '
            f'Iptc4xmpExt:DigitalSourceType="{_VOCABULARY}{escape(self.source_type)}" '
            f'dmix:Recipe="{escape(recipe)}"/></rdf:RDF></x:xmpmeta>'
        )


def read_mark(path: str | Path) -> Mark | None:
    """The mark of a picture file, also of one that another program has made; None without one.

    Raises:
        ImageError: the file is missing, damaged, or no picture.
    """
    return mark_of(metadata(path))


def mark_of(xmp: str) -> Mark | None:
    """The mark in the text of XMP; it is searched, not parsed, so that no XML can do harm."""
    found = _SOURCE_TYPE.search(xmp)
    return Mark(found[1], _recipe_of(xmp)) if found else None


def _recipe_of(xmp: str) -> dict[str, Any]:
    found = _RECIPE.search(xmp)
    try:
        recipe = json.loads(unescape(found[1])) if found else {}
    except (ValueError, RecursionError):
        return {}
    return recipe if isinstance(recipe, dict) else {}
