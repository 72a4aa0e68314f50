"""The nearest training crop of a picture, over every place that it could have been cut from, mirrored and turned.

The distance of two crops is sqrt(2 - 2 r), where r is Pearson's correlation of their values: the root mean square
difference after each has lost its mean and been brought to the same contrast. So a copy in another light is a copy. It
is 0 for the same picture, about 1.41 for pictures that have nothing in common and 2 for a negative. Each channel loses
its own mean; contrast is one for all channels of the image. A mask is compared apart: r is the mean of both.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dmix_core.protocols import Size
from dmix_data.datasets import Place

FLAT = 1e-3  # a standard deviation, for images in [-1, 1]: below it there is nothing that could be correlated
AT_ONCE = 16  # pictures
GRID = 32  # pixels; Fourier transforms are made of sides that are multiples of it


class Nearest(NamedTuple):
    """What lies nearest to each of Q pictures.

    Attributes:
        distances: (Q, G) to the nearest crop of each group.
        crops: (Q, C + M, h, w) the nearest crop of all in [-1, 1], mirrored and turned as the picture is.
        items: the number of the place that it is from.
        groups: the names of the places' groups.
    """

    distances: Tensor
    crops: Tensor
    items: list[int]
    groups: list[str]


class Symmetry(NamedTuple):
    """Mirrored or not, then turned by quarters."""

    mirrored: bool
    quarters: int

    def __call__(self, pictures: Tensor) -> Tensor:
        """Apply it to (..., h, w)."""
        return torch.rot90(pictures.flip(-1) if self.mirrored else pictures, self.quarters, (-2, -1))

    def undo(self, pictures: Tensor) -> Tensor:
        turned = torch.rot90(pictures, -self.quarters, (-2, -1))
        return turned.flip(-1) if self.mirrored else turned


def symmetries(size: Size) -> list[Symmetry]:
    """All that leave the size as it is: eight of a square, four of another rectangle."""
    step = 1 if size[0] == size[1] else 2
    return [Symmetry(mirrored, quarters) for mirrored in (False, True) for quarters in range(0, 4, step)]


def nearest(pictures: Tensor, places: Sequence[Place], device: torch.device | str = "cpu") -> Nearest:
    """Look for the nearest crops of pictures (Q, C + M, h, w) in [-1, 1] among all crops of these places."""
    found = [_nearest(part.to(device), places) for part in pictures.split(AT_ONCE)]
    distances, crops, items, groups = zip(*found, strict=True)
    return Nearest(torch.cat(distances), torch.cat(crops), [item for part in items for item in part], groups[0])


def _nearest(pictures: Tensor, places: Sequence[Place]) -> Nearest:
    size = (pictures.shape[2], pictures.shape[3])
    ways = symmetries(size)
    grey = all(place.pixels.shape[2] == 1 for place in places)
    turned = torch.cat([way(pictures) for way in ways])
    masked = places[0].mask is not None
    image = Templates(turned[:, :-1] if masked else turned, grey)
    mask = Templates(turned[:, -1:]) if masked else None

    groups = list(dict.fromkeys(place.group for place in places))
    closest = torch.full((len(pictures), len(groups)), -1.0, device=pictures.device)
    best = torch.full((len(pictures),), -2.0, device=pictures.device)
    where = torch.zeros(len(pictures), 3, dtype=torch.long, device=pictures.device)  # place, symmetry, corner
    for number, place in sorted(enumerate(places), key=lambda numbered: numbered[1].pixels.shape):
        r = _correlations(image, mask, place, size).unflatten(0, (len(ways), -1))
        value, flat = r.transpose(0, 1).flatten(1).max(1)
        group = groups.index(place.group)
        closest[:, group] = torch.maximum(closest[:, group], value)
        here = torch.stack([torch.full_like(flat, number), flat // r.shape[2], flat % r.shape[2]], 1)
        where = torch.where((value > best)[:, None], here, where)
        best = torch.maximum(best, value)
    crops = [_crop(places[item], ways[way], corner, size) for item, way, corner in where.tolist()]
    return Nearest((2 - 2 * closest).clamp(min=0).sqrt().cpu(), torch.stack(crops), where[:, 0].tolist(), groups)


def _correlations(image: "Templates", mask: "Templates | None", place: Place, size: Size) -> Tensor:
    """r of all templates (T) with all crops (N) of a place: (T, N)."""
    low, high = place.corners.min(0), place.corners.max(0)
    window = np.s_[low[0] : high[0] + size[0], low[1] : high[1] + size[1]]
    rows, columns = torch.from_numpy((place.corners - low).T.copy())
    r = image.correlations(_planes(place.pixels[window]))
    if mask is not None and place.mask is not None:
        r = (r + mask.correlations(_planes(place.mask[window][..., None]))) / 2
    everywhere = len(place.corners) == r[0].numel()
    return r.flatten(1) if everywhere else r[:, rows, columns]


def _crop(place: Place, way: Symmetry, corner: int, size: Size) -> Tensor:
    return way.undo(_planes(place.crop(place.corners[corner], size)))


def _planes(pixels: np.ndarray) -> Tensor:
    """Pixels (h, w, K) as (K, h, w) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 127.5 - 1


class Templates:
    """Pictures (T, C, h, w) to be correlated with the windows of larger ones.

    Args:
        grey: what they are compared with is grey, so that their mean channel is enough.
    """

    def __init__(self, pictures: Tensor, grey: bool = False) -> None:
        pictures = pictures.mean(1, keepdim=True) if grey else pictures
        centred = pictures - pictures.mean((2, 3), keepdim=True)
        norms = centred.flatten(1).norm(dim=1)
        self.flat = FLAT * math.sqrt(centred[0].numel())
        self.values = torch.where(norms > self.flat, 1 / norms, 0)[:, None, None, None] * centred
        self._spectra: tuple[Size, Tensor] | None = None

    def correlations(self, picture: Tensor) -> Tensor:
        """r with all windows of a picture (1 or C, H, W): (T, H - h + 1, W - w + 1); 0 where either is flat."""
        (height, width), (h, w) = picture.shape[1:], self.values.shape[2:]
        centred = (picture - picture.mean((1, 2), keepdim=True)).expand(self.values.shape[1], -1, -1)
        norms = _window_norms(centred, h, w).to(self.values)
        size = (-(-height // GRID) * GRID, -(-width // GRID) * GRID)
        products = (torch.fft.rfft2(centred.to(self.values), s=size) * self._spectrum(size)).sum(1)
        products = torch.fft.irfft2(products, s=size)[:, : height - h + 1, : width - w + 1]
        return products * torch.where(norms > self.flat, 1 / norms, 0)

    def _spectrum(self, size: Size) -> Tensor:
        """For one size at a time: these are large."""
        if self._spectra is None or self._spectra[0] != size:
            self._spectra = size, torch.fft.rfft2(self.values, s=size).conj()
        return self._spectra[1]


def _window_norms(picture: Tensor, h: int, w: int) -> Tensor:
    """Of all windows of (C, H, W), the norm of their differences from their channels' means: (H - h + 1, W - w + 1)."""
    picture = picture.double()
    squares = _window_sums(picture**2, h, w) - _window_sums(picture, h, w) ** 2 / (h * w)
    return squares.sum(0).clamp(min=0).sqrt().float()


def _window_sums(values: Tensor, h: int, w: int) -> Tensor:
    total = F.pad(values.cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    return total[..., h:, w:] - total[..., :-h, w:] - total[..., h:, :-w] + total[..., :-h, :-w]
