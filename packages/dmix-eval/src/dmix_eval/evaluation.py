"""`dmix evaluate` as a library: every figure of a generated set, beside what real pictures have among themselves."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
from .photographs import GeneratedSet, Photograph, generated_photographs, real_photographs
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
COPY_PASTE = "copy-paste"
TOLD = "Can it be told from real?"
FEWEST = 4  # objects, or groups of real ones


@dataclass(frozen=True, eq=False)
class Subject:
    """What is held against real pictures, or these themselves.

    Attributes:
        objects: each in a window.
        plain: windows without an object, where it has backgrounds of its own.
        unseen: the share of objects of which no pixel shows.
    """

    objects: list[Specimen]
    plain: list[Specimen] = field(default_factory=list)
    unseen: Estimate = NONE


@dataclass(frozen=True, eq=False)
class Figures:
    """What was measured of single objects.

    Attributes:
        objects: that were measured.
        values: each figure of each of them.
        compared: each figure against the real ones.
        erased: the share that is fainter than the 5th percentile of real ones.
    """

    objects: list[Specimen]
    values: dict[str, list[float]]
    compared: dict[str, Compared]
    erased: Estimate


@dataclass(frozen=True)
class Whole:
    """A measure of a whole set.

    Attributes:
        about: what is asked by it.
        text: what it is, and which values are good.
        ours, real: of the set, and of real pictures among themselves.
        references: of what else was measured, by its name.
    """

    about: str
    text: str
    ours: Estimate
    real: Estimate
    references: dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that was found out about a set.

    Attributes:
        name: of the set's folder.
        figures: of its objects.
        real: the real objects.
        references: figures of copy-paste, which are real objects in normal pictures, and of other sets, by their names.
        novelty: distances to real crops against those of left-out ones; None where there are too few groups.
        features: the user's own, by which KID was measured a second time.
    """

    name: str
    figures: Figures
    real: list[Specimen]
    references: dict[str, Figures]
    wholes: dict[str, Whole]
    novelty: Memorisation | None
    features: OnnxFeatures | None = None

    def record(self) -> dict[str, Any]:
        """All figures as JSON has them; NaN as null."""
        return _finite(
            {
                "format_version": 2,
                "set": self.name,
                "real_objects": len(self.real),
                "real_groups": len({each.group for each in self.real}),
                **_of_objects(self.figures),
                "references": {name: _of_objects(each) for name, each in self.references.items()},
                "sets": {name: _of_whole(each) for name, each in self.wholes.items()},
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
    against: Sequence[str | Path] = (),
) -> Evaluation:
    """Measure a generated set against real pictures.

    Args:
        folder: of `dmix generate` or `dmix compose`.
        real: a data set with pictures of defects, their masks, and normal pictures.
        classes: the objects that count; none: all.
        side: of the windows in which objects are seen, in pixels.
        features: by which KID is measured, too; that on random features always is.
        against: further sets to measure in the same way, such as one by the paper's settings.

    Raises:
        DataError: fewer than four objects, or than four groups of real ones.
        FeaturesError: the features cannot be computed of such windows.
    """
    photographs = real_photographs(real, classes)
    theirs = Subject(real_specimens(photographs, side), _plain([each for each in photographs if each.normal]))
    ours, *sets = (_of_set(each, real, theirs, classes, side) for each in (folder, *against))
    others = {COPY_PASTE: Subject(pasted_specimens(photographs, side, len(ours.objects)))} | dict(
        zip(_names(against), sets, strict=True)
    )
    values = _values(theirs.objects)
    between = {name: between_halves(theirs.objects, values[name]) for name in FIGURES}
    return Evaluation(
        Path(folder).name,
        _figures(ours, theirs, between),
        theirs.objects,
        {name: _figures(each, theirs, between) for name, each in others.items()},
        dict(_wholes(ours, theirs, others, features)),
        _novelty(ours.objects, real, classes, side),
        features,
    )


def _of_set(folder: str | Path, real: str | Path, theirs: Subject, classes: tuple[str, ...], side: int) -> Subject:
    found = generated_photographs(folder, classes)
    objects = _spread(generated_specimens(found, side), AT_MOST)
    _check_enough(objects, theirs.objects, folder, real)
    return Subject(objects, _plain(found.composites), unseen_share(found))


def _plain(photographs: Sequence[Photograph]) -> list[Specimen]:
    return backgrounds(photographs, BACKGROUND_SIDE, BACKGROUNDS)


def _names(folders: Sequence[str | Path]) -> list[str]:
    """Of sets, by their folders' own names where these differ."""
    names = [Path(each).name for each in folders]
    return names if len({*names, COPY_PASTE}) > len(names) else [str(each) for each in folders]


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


def _figures(subject: Subject, real: Subject, between: Mapping[str, Estimate]) -> Figures:
    values, theirs = (_values(each.objects) for each in (subject, real))
    kept, kept_real = (
        {name: Values(each[name], [one.group for one in of.objects]) for name in FIGURES}
        for each, of in ((values, subject), (theirs, real))
    )
    return Figures(
        subject.objects,
        values,
        {name: compare_values(kept[name], kept_real[name], between[name]) for name in FIGURES},
        erased_share(kept["contrast"], kept_real["contrast"]),
    )


def _values(found: Sequence[Specimen]) -> dict[str, list[float]]:
    return {name: [figure.of(each) for each in found] for name, figure in FIGURES.items()}


# ---- whole sets ---------------------------------------------------------------------------------------------


def unseen_share(found: GeneratedSet) -> Estimate:
    """The share of objects of which no pixel shows, with Clopper and Pearson's interval."""
    count = found.unseen + sum(len(photo.spots) for photo in found.composites)
    test = binomtest(found.unseen, count)
    return Estimate(float(test.statistic), *map(float, test.proportion_ci()))


class Measure(NamedTuple):
    """A measure of a whole set.

    Attributes:
        of: what it is of a set, against real pictures.
        among: what it is of real pictures among themselves.
    """

    about: str
    text: str
    of: Callable[[Subject, Subject], Estimate]
    among: Callable[[Subject], Estimate]


def _measures(features: OnnxFeatures | None) -> dict[str, Measure]:
    text = "AUROC of a classifier over groups left out; 0.5: it cannot tell"
    told = Measure(
        TOLD,
        text,
        lambda ours, real: told_apart(ours.objects, real.objects, True),
        lambda real: real_told_apart(real.objects, True),
    )
    plain = Measure(TOLD, text, _backgrounds_told_apart, lambda real: real_told_apart(real.plain, False))
    varied = Measure(
        "Is it new and varied?",
        "mean distance between two objects, as of nearest crops; real ones show what is varied",
        lambda ours, _: diversity(ours.objects),
        lambda real: diversity(real.objects),
    )
    unseen = Measure(
        "Is it there?", "share of objects of which no pixel shows", lambda ours, _: ours.unseen, lambda _: NONE
    )
    networks: list[Features] = [RandomFeatures(), *([features] if features else [])]
    return {
        "objects unseen": unseen,
        "objects told apart": told,
        "backgrounds told apart": plain,
        "diversity": varied,
        **{f"KID on {network.name}": _kid(network) for network in networks},
    }


def _kid(network: Features) -> Measure:
    return Measure(
        TOLD,
        "compare its values with each other alone; 0: alike",
        lambda ours, real: kid(ours.objects, real.objects, network),
        lambda real: real_kid(real.objects, network),
    )


def _backgrounds_told_apart(ours: Subject, real: Subject) -> Estimate:
    if len({each.group for each in ours.plain}) < FEWEST:
        return NONE
    return told_apart(ours.plain, real.plain, False)


def _wholes(
    ours: Subject, real: Subject, others: Mapping[str, Subject], features: OnnxFeatures | None
) -> Iterator[tuple[str, Whole]]:
    """Each measure that can be taken of the set."""
    for name, measure in _measures(features).items():
        found = measure.of(ours, real)
        if found is not NONE:
            references = {each: measure.of(other, real) for each, other in others.items()}
            yield name, Whole(measure.about, measure.text, found, measure.among(real), references)


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


def _of_objects(found: Figures) -> dict[str, Any]:
    return {
        "objects": len(found.objects),
        "erased": found.erased._asdict(),
        "figures": {name: _compared(each) for name, each in found.compared.items()},
    }


def _compared(found: Compared) -> dict[str, Any]:
    return {name: getattr(found, name)._asdict() for name in found._fields} | {"apart": found.apart}


def _of_whole(found: Whole) -> dict[str, Any]:
    return {
        "set": found.ours._asdict(),
        "real": found.real._asdict(),
        "references": {name: each._asdict() for name, each in found.references.items()},
    }


def _finite(value: Any) -> Any:
    """NaN, which JSON does not know, as None."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rows(found: Evaluation) -> list[tuple[str, ...]]:
    """The table: each figure of the set and of real ones, its distance from real ones, that of these among themselves,
    and that of each reference; of a whole set the measure itself stands in place of distances."""
    references = found.references
    table = [("", "set", "real", "distance", "between real halves", *references)]
    erased = (_text(each.erased) for each in references.values())
    table.append(("erased share", _text(found.figures.erased), "0.05", "", "", *erased))
    for name, each in found.figures.compared.items():
        apart = " *" if each.apart else ""
        others = (_text(other.compared[name].distance) for other in references.values())
        own = (_text(each.mean), _text(each.real_mean), f"{_text(each.distance)}{apart}", _text(each.between_real))
        table.append((name, *own, *others))
    for name, whole in found.wholes.items():
        others = (_text(whole.references[each]) for each in references)
        table.append((name, _text(whole.ours), _text(whole.real), "", "", *others))
    return table


def _text(value: Estimate) -> str:
    return "-" if value is NONE or math.isnan(value.value) else str(value)
