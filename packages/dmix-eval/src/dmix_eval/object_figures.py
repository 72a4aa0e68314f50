"""Figures of single objects: is it there, is its mask true, does it sit in the scene?"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.measure import regionprops
from sklearn.metrics import roc_auc_score

from dmix_core.quality import RING, Visibility, visibility
from dmix_data.shapes import holes_of, pieces_of, roughness_of

from .specimens import Specimen

BAND = 2  # pixels on each side of a contour that the colour step compares
OVERLOOKED = 8.0  # grey levels of 255
FINE = 0.25  # cycles per pixel, above which structure is fine


class Figure(NamedTuple):
    """A measure of an object.

    Attributes:
        about: what is asked by it.
        text: what it is, in a line.
        of: its value, NaN where it is undefined.
    """

    about: str
    text: str
    of: Callable[[Specimen], float]


def _seen(specimen: Specimen) -> Visibility:
    image = torch.from_numpy(specimen.image / 127.5 - 1)[None, None]
    return visibility(image, torch.from_numpy(specimen.mask)[None, None])


def contrast(specimen: Specimen) -> float:
    """Mean inside minus mean around, in grey levels; negative: darker than its surroundings."""
    mask, image = specimen.mask, specimen.image
    ring = binary_dilation(mask, _SQUARE, iterations=1 + RING) & ~binary_dilation(mask, _SQUARE)
    return float(image[mask].mean() - image[ring].mean()) if mask.any() and ring.any() else float("nan")


def step(specimen: Specimen) -> float:
    """|mean of the band just outside - mean of the band outside of that|: what a seam leaves around an object."""
    near = binary_dilation(specimen.mask, _SQUARE, iterations=BAND) & ~specimen.mask
    far = binary_dilation(specimen.mask, _SQUARE, iterations=3 * BAND) & ~(near | specimen.mask)
    if not near.any() or not far.any():
        return float("nan")
    return float(abs(specimen.image[near].mean() - specimen.image[far].mean()))


def fine_share(specimen: Specimen) -> float:
    """The share of a window's power above `FINE`, as log10: sharp noise has more, smooth painting less."""
    return float(np.log10(_shares(specimen.image)[1:].sum()))


def spectrum(image: NDArray) -> NDArray[np.float64]:
    """log10 of the share of power in eight rings of frequencies of a window."""
    return np.log10(_shares(image, 8))


def _shares(image: NDArray, rings: int = 2) -> NDArray[np.float64]:
    """The shares of power in rings of equal width up to half a cycle per pixel."""
    taper = np.outer(*(np.hanning(side) for side in image.shape))
    power = np.abs(np.fft.fft2((image - image.mean()) * taper)) ** 2
    frequency = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, image.shape), indexing="ij"))
    ring = (frequency * 2 * rings).astype(int)
    sums = np.bincount(ring.ravel(), power.ravel(), minlength=rings)[:rings]
    return (sums + 1e-9) / (sums.sum() + rings * 1e-9)


def _shape(name: str) -> Callable[[Specimen], float]:
    def of(specimen: Specimen) -> float:
        found = regionprops(specimen.mask.astype(np.uint8))
        return float(getattr(found[0], name)) if found else float("nan")

    return of


def twin_auroc(specimen: Specimen) -> float:
    """How well |image - twin| tells the mask's pixels from others: 1 where all of the change lies inside."""
    if specimen.twin is None or not specimen.mask.any() or specimen.mask.all():
        return float("nan")
    return float(roc_auc_score(specimen.mask.ravel(), np.abs(specimen.image - specimen.twin).ravel()))


def change_inside(specimen: Specimen) -> float:
    """The share of |image - twin| that lies inside the mask; NaN where nothing has changed."""
    if specimen.twin is None:
        return float("nan")
    change = np.abs(specimen.image - specimen.twin)
    return float(change[specimen.mask].sum() / change.sum()) if change.any() else float("nan")


def visible_share(specimen: Specimen) -> float:
    """The share of the mask's pixels that differ from the twin by more than is overlooked: is the label the change?"""
    if specimen.twin is None or not specimen.mask.any():
        return float("nan")
    return float((np.abs(specimen.image - specimen.twin)[specimen.mask] > OVERLOOKED).mean())


_SQUARE = np.ones((3, 3), bool)

THERE, TRUE, FITS = "Is it there?", "Is the mask true?", "Does it sit in the scene?"
FIGURES: dict[str, Figure] = {
    "contrast": Figure(THERE, "mean inside - around, grey levels; negative is darker", contrast),
    "twin AUROC": Figure(THERE, "|image - twin| against the mask", twin_auroc),
    "change inside": Figure(THERE, "share of |image - twin| inside the mask", change_inside),
    "visible share": Figure(THERE, "share of the mask that differs from the twin by over 8 grey levels", visible_share),
    "area": Figure(TRUE, "pixels", lambda specimen: float(specimen.mask.sum())),
    "pieces": Figure(TRUE, "connected parts of the mask", lambda specimen: pieces_of(specimen.mask)),
    "holes": Figure(TRUE, "holes in the mask", lambda specimen: holes_of(specimen.mask)),
    "roughness": Figure(
        TRUE,
        "length of the outline over that of a square of the same area",
        lambda specimen: roughness_of(specimen.mask),
    ),
    "eccentricity": Figure(TRUE, "of the ellipse of equal moments, 0 for a disc", _shape("eccentricity")),
    "solidity": Figure(TRUE, "area over that of the convex hull", _shape("solidity")),
    "edge": Figure(FITS, "gradient along the contour over that around", lambda each: float(_seen(each).edge)),
    "grain": Figure(FITS, "fine structure inside over that around", lambda each: float(_seen(each).grain)),
    "colour step": Figure(FITS, "between two bands outside the contour, grey levels", step),
    "spectrum": Figure(FITS, "log10 of the share of power above a quarter cycle per pixel", fine_share),
}
"""Every figure of an object, by its name."""
OF_TWINS = ("twin AUROC", "change inside", "visible share")
"""Those that need a twin, which real pictures lack."""
