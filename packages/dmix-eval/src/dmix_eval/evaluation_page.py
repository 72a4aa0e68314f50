"""The page of an evaluation: one HTML file without scripts, which fetches nothing."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import torch
from PIL import Image

from dmix_core.images import png_bytes, to_picture
from dmix_core.pictures import contact_sheet, enlarge, overlay
from dmix_core.web_page import document, table
from dmix_models.memorisation import pairs

from .evaluation import Evaluation, rows
from .object_figures import FIGURES
from .specimens import Specimen

SHOWN = 4  # pictures of each kind


def evaluation_page(found: Evaluation) -> str:
    """The table, and for each figure the objects that are nearest to real ones, in the middle, and furthest."""
    parts = [
        f"<h1>{escape(found.name)}</h1>",
        f'<p class="soft">{len(found.figures.objects)} objects against {len(found.real)} real ones of '
        f"{len({each.group for each in found.real})} groups. Intervals are of 95 %. Distances are Wasserstein's, in "
        "standard deviations of real objects; * is further from real than real halves are from each other.</p>",
        table(rows(found)),
        *_pictures(found),
        *_novelty(found),
    ]
    return document(f"{found.name}: evaluation", parts)


def _pictures(found: Evaluation) -> Iterable[str]:
    for name, figure in FIGURES.items():
        values = np.array(found.figures.values[name])
        known = np.flatnonzero(~np.isnan(values))
        if not len(known):
            continue
        target = found.figures.compared[name].real_mean.value
        goal = 1.0 if np.isnan(target) else target  # of twins, which real pictures lack
        order = known[np.argsort(np.abs(values[known] - goal), kind="stable")]
        yield f'<h3>{escape(name)}</h3><p class="soft">{escape(figure.about)} {escape(figure.text)}.</p>'
        yield f"<figure>{_embedded(_sheet(found.figures.objects, values, order), name)}</figure>"


def _sheet(ours: Sequence[Specimen], values: np.ndarray, order: np.ndarray) -> Image.Image:
    """A row of the best, one of the middle and one of the worst."""
    half = max(0, len(order) // 2 - SHOWN // 2)
    chosen = [order[:SHOWN], order[half : half + SHOWN], order[-SHOWN:]]
    tiles: list[Image.Image | None] = []
    captions: list[str] = []
    for some in chosen:
        empty = SHOWN - len(some)
        tiles += [*(tile for number in some for tile in _tiles(ours[number])), *[None] * (2 * empty)]
        captions += [*(text for number in some for text in (f"{values[number]:.3g}", "")), *[""] * (2 * empty)]
    return contact_sheet(tiles, 2 * SHOWN, captions, ["best", "median", "worst"])


def _tiles(specimen: Specimen) -> tuple[Image.Image, Image.Image]:
    """An object as it is, and with its mask."""
    picture = to_picture(torch.from_numpy(specimen.image / 127.5 - 1)[None].expand(3, -1, -1))
    shown = overlay(picture, torch.from_numpy(specimen.mask.astype(np.uint8)))
    return enlarge(picture), shown


def _novelty(found: Evaluation) -> Iterable[str]:
    yield "<h2>Is it new?</h2>"
    if found.novelty is None:
        yield "<p>Too few groups of real crops to tell.</p>"
        return
    heading = ("", "objects of the set", "left-out real crops")
    yield f"<p>{escape(found.novelty.verdict)}</p>{table([heading, *found.novelty.table])}"
    yield f"<figure>{_embedded(pairs(found.novelty), 'objects beside their nearest real crops')}</figure>"


def _embedded(picture: Image.Image, alt: str) -> str:
    data = base64.b64encode(png_bytes(picture)).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'
