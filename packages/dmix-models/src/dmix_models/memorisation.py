"""Does a model repeat what it was trained on?

Samples' distances to their nearest training crop are held against the leave-one-out distances of training crops to the
nearest crop of another group: fresh pictures of the same kind would be as far away as training crops are from each
other. The three samples of Meehan et al., "A Non-Parametric Test to Detect Data-Copying in Generative Models", 2020
(arXiv:2004.05675), with the left-out training crops as the one that the model has not seen.

Smooth pictures are near to everything. So a copy must also stand out: its nearest crop must be far nearer than others
are, as in Carlini et al., "Extracting Training Data from Diffusion Models", 2023 (arXiv:2301.13188), and Yoon et al.,
"Diffusion Probabilistic Models Generalize when They Fail to Memorize", 2023. `nearest` defines the distance.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from dmix_core.errors import DmixError
from dmix_core.files import write_atomically
from dmix_core.images import to_picture, write_png
from dmix_core.pictures import contact_sheet, enlarge, fit
from dmix_core.protocols import Denoiser
from dmix_data.batches import ANY, stream
from dmix_data.datasets import Crops, show_objects

from .filenames import file_names
from .nearest import nearest
from .preview import LEGIBLE, sample

QUANTILE = 0.05  # of the leave-one-out distances; what is below it counts as near
STANDS_OUT = 2 / 3  # of a copy's distance over that to the median group
SURE = 0.01  # the probability of as many copies by chance that a warning needs
LEAST = 3  # groups
QUERIES = 64  # crops that are left out, about
TINY = 1e-9  # in place of a distance of 0, which crops have that are all the same
SHOWN = 24  # pairs on the sheet
LARGE = 128  # pixels of a picture on it, at most

NAME = "memorisation"
DISTANCE = (
    "sqrt(2 - 2 r), r the correlation with the nearest crop over all places, mirrored and turned; 0: the same picture "
    "but for its light, 1.41: nothing in common"
)

Numbers = NDArray[np.float64]


class MemorisationError(DmixError):
    """Training crops that allow no comparison."""


# ---- figures ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """Samples against training crops.

    Attributes:
        distances: (N,) of the samples to their nearest training crop.
        ratios: (N,) of these to the distance to the median group.
        left_out: (n,) for each group, the median distance of its crops to the nearest crop of another group.
        left_out_ratios: (n,) of these to the distance to the median other group.
    """

    distances: Numbers
    ratios: Numbers
    left_out: Numbers
    left_out_ratios: Numbers

    @property
    def rank(self) -> int:
        """Which of the sorted leave-one-out values stands for their 5 % quantile: the lowest of fewer than 39."""
        return max(1, math.floor(QUANTILE * (len(self.left_out) + 1)))

    @property
    def expected(self) -> float:
        """The share of fresh pictures that would be below that value: 5 %, or what so few groups allow."""
        return self.rank / (len(self.left_out) + 1)

    @property
    def near_below(self) -> float:
        return float(np.sort(self.left_out)[self.rank - 1])

    @property
    def stands_out_below(self) -> float:
        return min(STANDS_OUT, float(np.sort(self.left_out_ratios)[self.rank - 1]))

    @property
    def near(self) -> NDArray[np.bool_]:
        """(N,) which samples are nearer to a training crop than 95 % of these are to each other."""
        return self.distances < self.near_below

    @property
    def copies(self) -> NDArray[np.bool_]:
        """(N,) which of the near samples also stand out: no other group is nearly as near."""
        return self.near & (self.ratios < self.stands_out_below)

    @property
    def chance(self) -> float:
        """The probability that as many or more fresh pictures would be copies by these rules.

        The share of them below the k-th of n independent values is Beta(k, n + 1 - k), so their number is
        beta-binomial.
        """
        return self._chance(int(self.copies.sum()))

    @property
    def least_sure(self) -> float | None:
        """The least share of copies that would be warned of; None: so few samples and groups can show none."""
        count = len(self.distances)
        return next((k / count for k in range(count + 1) if self._chance(k) < SURE), None)

    def _chance(self, copies: int) -> float:
        return beta_binomial_tail(copies, len(self.distances), self.rank, len(self.left_out))

    @property
    def median_ratio(self) -> float:
        """The samples' median distance over that of the left-out crops; 1 for fresh pictures."""
        return float(np.median(self.distances) / max(np.median(self.left_out), TINY))

    @property
    def rank_test(self) -> float:
        """One-sided p of Meehan et al.'s test, that samples are not nearer; small for smooth pictures as well."""
        return rank_test(self.distances, self.left_out)


def compare(samples: Tensor, left_out: Tensor, own: Sequence[int]) -> Comparison:
    """Compare distances to G groups.

    Args:
        samples: (N, G), of each sample to the nearest crop of each group.
        left_out: (n, K, G), the same of K training crops of each of n groups.
        own: (n,) the places of these groups among all; distances to them are not looked at.
    """
    all_groups = samples.double().numpy()
    others = np.where(np.eye(samples.shape[1], dtype=bool)[list(own), None], np.nan, left_out.double().numpy())
    nearest, typical = np.nanmin(others, 2), np.nanmedian(others, 2)
    return Comparison(
        all_groups.min(1),
        all_groups.min(1) / np.maximum(np.median(all_groups, 1), TINY),
        np.median(nearest, 1),
        np.median(nearest / np.maximum(typical, TINY), 1),
    )


def beta_binomial_tail(count: int, total: int, rank: int, values: int) -> float:
    """The probability that at least `count` of `total` draws fall below the `rank`-th lowest of `values` others."""
    a, b = rank, values + 1 - rank
    terms = (
        math.lgamma(total + 1)
        - math.lgamma(k + 1)
        - math.lgamma(total - k + 1)
        + _log_beta(k + a, total - k + b)
        - _log_beta(a, b)
        for k in range(count, total + 1)
    )
    return min(1.0, sum(map(math.exp, terms)))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def rank_test(distances: Numbers, left_out: Numbers) -> float:
    """The one-sided p of a Mann-Whitney test that `distances` are not lower, in the normal approximation.

    Nearest neighbours are often mutual, so that of the left-out distances only half are counted as independent.
    """
    below = (distances[:, None] < left_out).mean() + (distances[:, None] == left_out).mean() / 2
    m, n = len(distances), len(left_out) / 2
    return 0.5 * math.erfc((below - 0.5) / math.sqrt((m + n + 1) / (6 * m * n)))


# ---- a model ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memorisation:
    """What was found out about a model, or about one of its classes.

    Attributes:
        name: of the class; None for a model without.
        crops, groups: how many training crops there are, and how many groups of what belongs together.
        samples: (N, C + M, h, w) in [-1, 1].
        nearest: shaped like them, the nearest training crops.
    """

    name: str | None
    crops: int
    groups: int
    comparison: Comparison
    samples: Tensor
    nearest: Tensor

    @property
    def warns(self) -> bool:
        return self.comparison.chance < SURE

    @property
    def verdict(self) -> str:
        """In a sentence or two."""
        of, found = self.comparison, int(self.comparison.copies.sum())
        count = len(of.distances)
        copies = f"{found} of {count} samples ({found / count:.0%}) are near copies"
        by_chance = f"of fresh pictures at most about {of.expected:.0%} would look so"
        if self.warns:
            return (
                f"WARNING: the model repeats its training crops: {copies}; {by_chance}. "
                "Look at the pairs; train for fewer steps, on more pictures, or with more augmentation."
            )
        if found > of.expected * count:
            return f"Not certain: {copies}; {by_chance}. {self.certainty} Look at the pairs."
        return f"No sign of copying: {copies}; {by_chance}. {self.certainty}"

    @property
    def certainty(self) -> str:
        """What so many samples and groups allow to conclude."""
        least, groups = self.comparison.least_sure, len(self.comparison.left_out)
        if least is None:
            return f"With {groups} groups of training crops and so few samples, copies cannot be told from chance."
        return f"With {groups} groups of training crops, fewer than {least:.0%} copies cannot be told from chance."

    @property
    def table(self) -> list[tuple[str, str, str]]:
        """Rows of what is measured, of samples, of training crops that are left out."""
        of = self.comparison
        return [
            ("distance to the nearest crop, median", f"{np.median(of.distances):.2f}", f"{np.median(of.left_out):.2f}"),
            (
                "ratio to the distance of the median group",
                f"{np.median(of.ratios):.2f}",
                f"{np.median(of.left_out_ratios):.2f}",
            ),
            (f"near: distance below {of.near_below:.2f}", f"{of.near.mean():.0%}", f"{of.expected:.0%} expected"),
            (
                f"near copies: ratio below {of.stands_out_below:.2f} as well",
                f"{of.copies.mean():.0%}",
                f"at most {of.expected:.0%} expected",
            ),
            ("rank test that samples are not nearer", f"p = {of.rank_test:.2g}", ""),
        ]


def memorisation(
    kinds: Mapping[str | None, Denoiser],
    crops: Crops,
    samples: int = 32,
    steps: int = 50,
    seed: int = 1,
    device: torch.device | str = "cpu",
) -> list[Memorisation]:
    """Hold samples of a model against the crops that it was trained on.

    Args:
        kinds: the model under None, or for each of its classes the denoiser of that class.
        samples: how many of each kind.
        steps: of denoising.

    Raises:
        MemorisationError: fewer than three groups of crops, or crops of another size.
    """
    check_kinds(kinds, crops)
    return compare_kinds(draw(kinds, samples, steps, seed, device), crops, device)


def check_kinds(kinds: Mapping[str | None, Denoiser], crops: Crops) -> None:
    """Refuse crops that allow no comparison, before any sample is made.

    Raises:
        MemorisationError: as for `memorisation`.
    """
    for name, denoiser in kinds.items():
        check_crops(denoiser, crops, items_of(crops, name), name)


def draw(
    kinds: Mapping[str | None, Denoiser],
    samples: int,
    steps: int,
    seed: int = 1,
    device: torch.device | str = "cpu",
) -> dict[str | None, Tensor]:
    """So many samples (N, C + M, h, w) in [-1, 1] of each kind, on the CPU; arguments as for `memorisation`."""
    return {
        name: torch.cat([sample(denoiser, part, steps, seed, device) for part in _parts(samples)]).clamp(-1, 1).cpu()
        for name, denoiser in kinds.items()
    }


def compare_kinds(
    images: Mapping[str | None, Tensor], crops: Crops, device: torch.device | str = "cpu"
) -> list[Memorisation]:
    """Hold the samples of each kind against the crops of the same kind."""
    return [compare_images(each, crops, items_of(crops, name), name, device) for name, each in images.items()]


def items_of(crops: Crops, name: str | None) -> list[int]:
    """The items that show a class; all of them for None, and all that show an object for any."""
    named = zip(crops.class_names, show_objects(crops), strict=True)
    return [item for item, (shown, is_one) in enumerate(named) if name in (None, shown) or (name == ANY and is_one)]


def _parts(samples: int, at_once: int = 16) -> list[range]:
    return [range(start, min(start + at_once, samples)) for start in range(0, samples, at_once)]


def check_crops(denoiser: Denoiser, crops: Crops, items: Sequence[int], name: str | None) -> None:
    """Refuse crops that allow no comparison, before any sample is made."""
    given, expected = (crops.size, crops.mask_channels), (denoiser.spec.size, denoiser.spec.mask_channels)
    if given != expected:
        raise MemorisationError(
            f"The crops are {given[0]} with {given[1]} mask channels; the model paints {expected[0]} with "
            f"{expected[1]}. Expected the data that it was trained on."
        )
    groups = {crops.place(item).group for item in items}
    if len(groups) < LEAST:
        raise MemorisationError(
            f"The training crops{f' of {name!r}' if name else ''} are from {len(groups)} pictures or groups of "
            f"pictures that belong together. Expected at least {LEAST}: fewer allow no comparison."
        )


def compare_images(
    images: Tensor, crops: Crops, items: Sequence[int], name: str | None = None, device: torch.device | str = "cpu"
) -> Memorisation:
    """Hold images (N, C + M, h, w) in [-1, 1] against some of the items of crops."""
    places = [crops.place(item) for item in items]
    found = nearest(images, places, device)
    asked = np.linspace(0, len(found.groups) - 1, min(len(found.groups), QUERIES)).round().astype(int).tolist()
    cut = left_out_crops(crops, items, [found.groups[group] for group in asked])
    left_out = nearest(cut.flatten(0, 1), places, device).distances.unflatten(0, cut.shape[:2])
    comparison = compare(found.distances, left_out, asked)
    return Memorisation(name, len(places), len(found.groups), comparison, images, found.crops)


def left_out_crops(crops: Crops, items: Sequence[int], groups: Sequence[str]) -> Tensor:
    """Random crops of each group, (n, K, C + M, h, w) in [-1, 1]."""
    each = math.ceil(QUERIES / len(groups))
    cut = []
    for number, group in enumerate(groups):
        members = [item for item in items if crops.place(item).group == group]
        random = stream(0, 5, number)
        cut.append([crops.cut(members[random.integers(len(members))], random) for _ in range(each)])
    return torch.from_numpy(np.array(cut)).movedim(-1, 2) / 127.5 - 1


# ---- files --------------------------------------------------------------------------------------------------


def write(folder: Path, found: Sequence[Memorisation]) -> list[Path]:
    """Write memorisation.json and, with the nearest pairs of each class, memorisation.png or memorisation-CLASS.png."""
    record = {"format_version": 1, "distance": DISTANCE, "classes": [as_record(each) for each in found]}
    written = [write_atomically(folder / f"{NAME}.json", json.dumps(record, indent=2).encode())]
    names = picture_names([each.name for each in found])
    return written + [write_png(folder / names[each.name], pairs(each)) for each in found]


def picture_names(names: Sequence[str | None]) -> dict[str | None, str]:
    """The file of each class' nearest pairs."""
    return file_names(NAME, ".png", names)


class ClassRecord(BaseModel):
    """What the page shows of a class in memorisation.json."""

    name: str | None = Field(alias="class")
    samples: int
    crops: int
    groups: int
    warning: bool
    verdict: str
    table: list[list[str]]


class Record(BaseModel):
    """What the page shows of memorisation.json."""

    distance: str
    classes: list[ClassRecord]


def read_record(folder: Path) -> Record | None:
    """The report in a folder; None where there is none, or none that can be read."""
    try:
        return Record.model_validate_json((folder / f"{NAME}.json").read_bytes())
    except (OSError, ValidationError):
        return None


def as_record(found: Memorisation) -> dict[str, object]:
    """All figures as JSON has them."""
    of = found.comparison
    figures = {
        "near_share": of.near.mean(),
        "copies_share": of.copies.mean(),
        "expected_share": of.expected,
        "chance": of.chance,
        "median_ratio": of.median_ratio,
        "rank_test": of.rank_test,
        "near_below": of.near_below,
        "stands_out_below": of.stands_out_below,
    }
    lists = {"distances": of.distances, "ratios": of.ratios}
    lists |= {"left_out": of.left_out, "left_out_ratios": of.left_out_ratios}
    return {
        "class": found.name,
        "samples": len(found.samples),
        "crops": found.crops,
        "groups": found.groups,
        "warning": found.warns,
        "verdict": found.verdict,
        "table": found.table,
        **{key: float(f"{value:.4g}") for key, value in figures.items()},
        **{key: [round(float(value), 4) for value in values] for key, values in lists.items()},
    }


def pairs(found: Memorisation, columns: int = 3) -> Image.Image:
    """The samples that are nearest to a training crop, each with that crop and the difference once both have the same
    light: grey where there is none. Masks follow where there are some.
    """
    of = found.comparison
    tiles, captions = [], []
    for row in np.argsort(of.distances, kind="stable")[:SHOWN].tolist():
        shown = _pair(found.samples[row], found.nearest[row])
        tiles += [_tile(part) for part in shown]
        distance = f"{of.distances[row]:.2f}{' copy' if of.copies[row] else ''}"
        captions += [distance, "nearest", "difference", "mask", "nearest"][: len(shown)]
    return contact_sheet(tiles, columns * len(shown), captions)


def _tile(image: Tensor) -> Image.Image:
    picture = to_picture(image)
    return enlarge(picture, LEGIBLE) if min(picture.size) < LARGE else fit(picture, LARGE)


def _pair(sample: Tensor, crop: Tensor) -> list[Tensor]:
    image, other = sample[:3], crop[:3]
    centred, light = other - other.mean((1, 2), keepdim=True), image.mean((1, 2), keepdim=True)
    contrast = (image - light).norm() / centred.norm().clamp(min=1e-6)
    return [image, other, image - light - contrast * centred, *sample[3:, None], *crop[3:, None]]
