"""`dmix evaluate` as a library: every figure of a generated set, beside what real pictures have among themselves."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from dmix_data.datasets import object_crops
from dmix_data.exceptions import DataError
from dmix_data.options import DataOptions
from dmix_models.memorisation import LEAST, Memorisation, as_record, compare_images

from .features import OnnxFeatures
from .kernel_distance import Features, kid, real_kid
from .object_figures import FIGURES
from .photographs import GeneratedSet, generated_photographs, real_photographs
from .random_features import RandomFeatures
from .set_distances import (
    INTERVAL,
    NONE,
    RESAMPLES,
    Compared,
    Estimate,
    Values,
    between_halves,
    compare_values,
    erased_share,
)
from .specimens import (
    Specimen,
    backgrounds,
    generated_specimens,
    pasted_specimens,
    real_specimens,
)
from .two_sample import real_told_apart, told_apart

BACKGROUND_SIDE = 32  # pixels: small enough to lie beside an object
BACKGROUNDS = 300  # windows of each kind
AT_MOST = 400  # objects whose figures are measured
NEAREST = 64  # objects that are looked for among real crops
PAIRED = 100  # objects whose distances from each other are measured
TOLD = "Can it be told from real?"
FEWEST = 4  # objects, or groups of real ones


@dataclass(frozen=True, eq=False)
class Figures:
    """What was measured of single objects.

    Attributes:
        ours, real, pasted: of the set, of real pictures, and of real objects pasted into normal pictures.
        values: each figure of each of our objects.
        compared, pasted_compared: each figure against the real ones, of the set and of the pasted ones.
        erased, pasted_erased: the share that is fainter than the 5th percentile of real ones.
    """

    ours: list[Specimen]
    real: list[Specimen]
    values: dict[str, list[float]]
    compared: dict[str, Compared]
    pasted_compared: dict[str, Compared]
    erased: Estimate
    pasted_erased: Estimate


@dataclass(frozen=True)
class Whole:
    """A measure of a whole set.

    Attributes:
        about: what is asked by it.
        text: what it is, and which values are good.
        ours, real: of the set, and of real pictures among themselves.
    """

    about: str
    text: str
    ours: Estimate
    real: Estimate


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that was found out about a set.

    Attributes:
        name: of the set's folder.
        novelty: distances to real crops against those of left-out ones; None where there are too few groups.
        features: the user's own, by which KID was measured a second time.
    """

    name: str
    figures: Figures
    wholes: dict[str, Whole]
    novelty: Memorisation | None
    features: OnnxFeatures | None = None

    def record(self) -> dict[str, Any]:
        """All figures as JSON has them; NaN as null."""
        figures = self.figures
        return _finite(
            {
                "format_version": 1,
                "set": self.name,
                "objects": len(figures.ours),
                "real_objects": len(figures.real),
                "real_groups": len({each.group for each in figures.real}),
                "erased": figures.erased._asdict(),
                "erased_copy_paste": figures.pasted_erased._asdict(),
                "figures": {name: _compared(each) for name, each in figures.compared.items()},
                "copy_paste": {name: _compared(each) for name, each in figures.pasted_compared.items()},
                "sets": {
                    name: {"set": each.ours._asdict(), "real": each.real._asdict()}
                    for name, each in self.wholes.items()
                },
                "novelty": as_record(self.novelty) if self.novelty else None,
                "features": self.features.record() if self.features else None,
            }
        )


def evaluate(
    folder: str | Path,
    real: str | Path,
    classes: tuple[str, ...] = (),
    side: int = 64,
    features: OnnxFeatures | None = None,
) -> Evaluation:
    """Measure a generated set against real pictures.

    Args:
        folder: of `dmix generate` or `dmix compose`.
        real: a data set with pictures of defects, their masks, and normal pictures.
        classes: the objects that count; none: all.
        side: of the windows in which objects are seen, in pixels.
        features: by which KID is measured, too; that on random features always is.

    Raises:
        DataError: fewer than four objects, or than four groups of real ones.
        FeaturesError: the features cannot be computed of such windows.
    """
    found, photographs = generated_photographs(folder, classes), real_photographs(real, classes)
    ours = _spread(generated_specimens(found, side), AT_MOST)
    theirs = real_specimens(photographs, side)
    _check_enough(ours, theirs, folder, real)
    distances = dict(_distances(ours, theirs, features))
    normal = [each for each in photographs if each.normal]
    plain = (
        backgrounds(found.composites, BACKGROUND_SIDE, BACKGROUNDS),
        backgrounds(normal, BACKGROUND_SIDE, BACKGROUNDS),
    )
    pasted = pasted_specimens(photographs, side, len(ours))
    return Evaluation(
        Path(folder).name,
        _figures(ours, theirs, pasted),
        dict(_wholes(ours, theirs, plain, unseen_share(found))) | distances,
        _novelty(ours, real, classes, side),
        features,
    )


def _spread(found: list[Specimen], count: int) -> list[Specimen]:
    """So many of them, evenly over their order."""
    return [found[number] for number in np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)]


def _check_enough(ours: Sequence[Specimen], real: Sequence[Specimen], folder: str | Path, of: str | Path) -> None:
    groups = len({each.group for each in real})
    if len(ours) < FEWEST or groups < FEWEST:
        raise DataError(
            f"{str(folder)!r} has {len(ours)} objects, {str(of)!r} has objects of {groups} groups; expected at least "
            f"{FEWEST} of each. Fewer allow no comparison."
        )


# ---- single objects -----------------------------------------------------------------------------------------


def _figures(ours: list[Specimen], real: list[Specimen], pasted: list[Specimen]) -> Figures:
    values, theirs, copied = (_values(found) for found in (ours, real, pasted))
    between = {name: between_halves(real, theirs[name]) for name in FIGURES}
    kept, kept_real, kept_pasted = (
        {name: Values(each[name], [one.group for one in found]) for name in FIGURES}
        for each, found in ((values, ours), (theirs, real), (copied, pasted))
    )
    return Figures(
        ours,
        real,
        values,
        {name: compare_values(kept[name], kept_real[name], between[name]) for name in FIGURES},
        {name: compare_values(kept_pasted[name], kept_real[name], between[name]) for name in FIGURES},
        erased_share(kept["contrast"], kept_real["contrast"]),
        erased_share(kept_pasted["contrast"], kept_real["contrast"]),
    )


def _values(found: Sequence[Specimen]) -> dict[str, list[float]]:
    return {name: [figure.of(each) for each in found] for name, figure in FIGURES.items()}


# ---- whole sets ---------------------------------------------------------------------------------------------


def unseen_share(found: GeneratedSet) -> Estimate:
    """The share of objects of which no pixel shows, with Clopper and Pearson's interval."""
    count = found.unseen + sum(len(photo.spots) for photo in found.composites)
    test = binomtest(found.unseen, count)
    return Estimate(float(test.statistic), *map(float, test.proportion_ci()))


def _wholes(
    ours: Sequence[Specimen],
    real: Sequence[Specimen],
    plain: tuple[list[Specimen], list[Specimen]],
    unseen: Estimate,
) -> Iterator[tuple[str, Whole]]:
    told, varied = TOLD, "Is it new and varied?"
    text = "AUROC of a classifier over groups left out; 0.5: it cannot tell"
    yield "objects unseen", Whole("Is it there?", "share of objects of which no pixel shows", unseen, NONE)
    yield "objects told apart", Whole(told, text, told_apart(ours, real, True), real_told_apart(real, True))
    if len({each.group for each in plain[0]}) >= FEWEST:
        apart, among = told_apart(*plain, False), real_told_apart(plain[1], False)
        yield "backgrounds told apart", Whole(told, text, apart, among)
    text = "mean distance between two objects, as of nearest crops; real ones show what is varied"
    yield "diversity", Whole(varied, text, diversity(ours), diversity(real))


def _distances(
    ours: Sequence[Specimen], real: Sequence[Specimen], features: OnnxFeatures | None
) -> Iterator[tuple[str, Whole]]:
    """KID on random features, and on the user's own."""
    text = "compare its values with each other alone; 0: alike"
    networks: list[Features] = [RandomFeatures(), *([features] if features else [])]
    for each in networks:
        yield f"KID on {each.name}", Whole(TOLD, text, kid(ours, real, each), real_kid(real, each))


def diversity(found: Sequence[Specimen]) -> Estimate:
    """The mean distance sqrt(2 - 2 r) of two windows; the interval is of resampled halves of them."""
    images = np.stack([each.image.ravel() for each in _spread([*found], PAIRED)])
    centred = images - images.mean(1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(norms, 1e-6)
    distances = np.sqrt(np.maximum(2 - 2 * unit @ unit.T, 0))
    random, again = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        chosen = random.permutation(len(images))[: max(2, len(images) // 2)]
        again.append(_mean_between(distances[np.ix_(chosen, chosen)]))
    return Estimate(_mean_between(distances), *map(float, np.quantile(again, INTERVAL)))


def _mean_between(distances: np.ndarray) -> float:
    return float(distances[~np.eye(len(distances), dtype=bool)].mean())


def _novelty(ours: Sequence[Specimen], real: str | Path, classes: tuple[str, ...], side: int) -> Memorisation | None:
    options = DataOptions(classes=classes or None, split="all", on_error="skip")
    crops = object_crops(real, (side, side), options)
    items = [*range(len(crops))]
    if len({crops.place(item).group for item in items}) < LEAST:
        return None
    return compare_images(_tensor(_spread([*ours], NEAREST)), crops, items)


def _tensor(found: Sequence[Specimen]) -> Tensor:
    """(N, 4, h, w) in [-1, 1], grey as RGB, with the mask."""
    images = torch.from_numpy(np.stack([each.image for each in found]))[:, None] / 127.5 - 1
    masks = torch.from_numpy(np.stack([each.mask for each in found]))[:, None].float() * 2 - 1
    return torch.cat([images.expand(-1, 3, -1, -1), masks], 1)


# ---- records ------------------------------------------------------------------------------------------------


def _compared(found: Compared) -> dict[str, Any]:
    return {name: getattr(found, name)._asdict() for name in found._fields} | {"apart": found.apart}


def _finite(value: Any) -> Any:
    """NaN, which JSON does not know, as None."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rows(found: Evaluation) -> list[tuple[str, str, str, str, str, str]]:
    """The table: measure, the set, real ones, distance from real, the same among real ones, the same of copy-paste."""
    figures = found.figures
    table = [("", "set", "real", "distance", "between real halves", "copy-paste")]
    table.append(("erased share", _text(figures.erased), "0.05", "", "", _text(figures.pasted_erased)))
    for name, each in figures.compared.items():
        apart = " *" if each.apart else ""
        other = _text(figures.pasted_compared[name].distance)
        table.append(
            (
                name,
                _text(each.mean),
                _text(each.real_mean),
                f"{_text(each.distance)}{apart}",
                _text(each.between_real),
                other,
            )
        )
    for name, whole in found.wholes.items():
        table.append((name, _text(whole.ours), _text(whole.real), "", "", ""))
    return table


def _text(value: Estimate) -> str:
    return "-" if value is NONE or math.isnan(value.value) else str(value)
