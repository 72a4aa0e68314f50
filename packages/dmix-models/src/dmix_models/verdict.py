"""Is a model ready? Its samples beside the crops that it was trained on, and its loss, in plain words.

Each measure of a sample is held against the same measure of training crops, cut and augmented as in training: of good
samples about 5 % lie beyond the crops' 95 % quantile. A finding is raised where a fifth or more do and so many would be
there by chance in one of a hundred trainings. Real pictures so set the scale, and no threshold depends on what they
show. `findings` names the measures, the constants below give the reasons for the other thresholds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dmix_data.shapes import holes_of, pieces_of, roughness_of

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

OUTSIDE = 0.05  # of the training crops lie beyond their own 95 % quantile
MANY = 0.2  # of the samples: one picture in five would have to be thrown away
SURE = 0.01  # the probability by chance that a finding needs
EMPTY = 4  # pixels; an object of fewer cannot be composed
WITHOUT_OBJECT = 0.1  # of the samples; of the training crops each shows one
SCATTERED = 1.4  # times the crops' spread of light; 1.75 was visibly wrong for `tiles`, 1.05 right
GREY_LEVELS = 4.0  # of 255, below which a difference of light is not seen
FALLING = (
    0.1  # by which twice the steps would lower the loss; 0.57, 0.38, 0.26 after 500, 1000, 1500 steps of blowholes
)
LEAST_LINES = 20  # of metrics.jsonl, which a slope needs to stand out from noise


class Finding(NamedTuple):
    """One thing that was looked at."""

    about: str
    """What was looked at, such as "loss" or "masks"."""
    fine: bool | None
    """None: it could not be looked at."""
    text: str
    advice: str = ""
    """What would help: a key of ADVICE."""

    @property
    def mark(self) -> str:
        """In a word."""
        return {True: "fine", False: "WRONG", None: "not known"}[self.fine]


class Run(NamedTuple):
    """What the verdict has to know about a training."""

    steps: int
    prediction: str
    seen: float
    """How often each object or picture was learned from."""
    items: Mapping[str | None, int]
    """How many objects or pictures there are, by class."""


@dataclass(frozen=True)
class Evidence:
    """Samples of a model, or of one of its classes, and training crops of the same.

    Attributes:
        name: of the class; None for a model without.
        samples, crops: (N, C + M, h, w) and (n, C + M, h, w) in about [-1, 1].
        image_channels: C.
        copies: how the memorisation report puts it, if it warns.
    """

    name: str | None
    samples: Tensor
    crops: Tensor
    image_channels: int = 3
    copies: str | None = None

    @property
    def has_masks(self) -> bool:
        """Whether the training crops have masks that show an object; those of the class `none` have empty ones."""
        return bool((self.crops[:, self.image_channels :] > -1).any())

    def measured(self, measure: Callable[[Numbers], float]) -> tuple[Numbers, Numbers]:
        """A measure of each image (C, h, w) in grey levels: of the samples, of the crops."""
        return _of_images(measure, self.samples, self.image_channels), _of_images(
            measure, self.crops, self.image_channels
        )

    def masks(self) -> tuple[list[Mask], list[Mask]]:
        """The masks that show an object: of the samples, of the crops."""
        both = ((each[:, self.image_channels] > 0).cpu().numpy() for each in (self.samples, self.crops))
        samples, crops = ([mask for mask in masks if mask.sum() >= EMPTY] for masks in both)
        return samples, crops


def _of_images(measure: Callable[[Numbers], float], images: Tensor, channels: int) -> Numbers:
    grey = (images[:, :channels].clamp(-1, 1).double().cpu().numpy() + 1) * 127.5
    return np.array([measure(each) for each in grey])


@dataclass(frozen=True)
class Verdict:
    """What was found out about a training, and what to do next."""

    steps: int
    findings: list[Finding]
    advice: list[str] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        return all(finding.fine is not False for finding in self.findings)

    @property
    def summary(self) -> str:
        """In one line."""
        wrong = list(dict.fromkeys(finding.about for finding in self.findings if finding.fine is False))
        return f"not ready ({', '.join(wrong)})" if wrong else "ready: nothing wrong was found"

    @property
    def lines(self) -> list[str]:
        """The whole verdict as lines of text."""
        found = [f"  {finding.about} ({finding.mark}): {finding.text}" for finding in self.findings]
        return [f"The model is {self.summary}.", *found, *(f"Next: {each}" for each in self.advice)]

    def as_record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "format_version": 1,
            "steps": self.steps,
            "ready": self.ready,
            "summary": self.summary,
            "findings": [finding._asdict() for finding in self.findings],
            "advice": self.advice,
        }


def judge(lines: Sequence[Mapping[str, Any]], evidence: Sequence[Evidence], run: Run) -> Verdict:
    """The verdict on a training.

    Args:
        lines: of metrics.jsonl.
        evidence: of the model, or of each of its classes.
    """
    found = [loss(lines), *(finding for each in evidence for finding in findings(each)), seen(run)]
    return Verdict(run.steps, found, advice(found, run))


def findings(evidence: Evidence) -> list[Finding]:
    """Everything that samples show beside training crops; the text names the class."""
    found = [light(*evidence.measured(np.mean)), grain(*evidence.measured(grain_of))]
    if evidence.has_masks:
        samples, crops = evidence.masks()
        found.append(objects(len(samples), len(evidence.samples)))
        found.extend(masks(samples, crops))
    if evidence.copies:
        found.append(Finding("copies", False, evidence.copies, "fewer steps"))
    return [each._replace(text=f"{evidence.name}: {each.text}") if evidence.name else each for each in found]


# ---- loss -----------------------------------------------------------------------------------------------------


def loss(lines: Sequence[Mapping[str, Any]]) -> Finding:
    """Does it still fall? By the slope of its logarithm over the logarithm of the step, in the second half of a run.

    The loss of a diffusion model falls about as a power of the steps, so that this slope states what twice the steps
    would gain. It is that of the four quarters' geometric mean: which levels a batch has drawn moves the plain loss far
    more than learning does. A slope counts at 2.33 standard errors below 0, which chance reaches in one of a hundred.
    """
    last = max((line["step"] for line in lines), default=0)
    pairs = [(line["step"], _level(line)) for line in lines if line["step"] >= max(1, last / 2)]
    steps, values = np.array([pair for pair in pairs if pair[1] is not None], np.float64).reshape(-1, 2).T
    if len(steps) < LEAST_LINES:
        return Finding("loss", None, "too few lines of metrics to know whether it still falls")
    slope, error = slope_of(np.log2(steps), values)
    gain = 1 - 2**slope
    text = f"twice the steps would change it by {-gain:+.0%}, give or take {error * math.log(2):.0%}"
    if gain >= FALLING and slope < -2.33 * error:
        return Finding("loss", False, f"still falling: {text}", "more steps")
    if error * math.log(2) > FALLING / 2:
        return Finding("loss", None, f"too uneven to be sure: {text}")
    return Finding("loss", True, f"settled: {text}")


def _level(line: Mapping[str, Any]) -> float | None:
    """The binary logarithm of the loss, as the mean over the quarters of the levels; None where one is missing."""
    quarters = line.get("quarters") or [line.get("loss")]
    return fmean(map(math.log2, quarters)) if all(value and value > 0 for value in quarters) else None


def slope_of(x: Numbers, y: Numbers) -> tuple[float, float]:
    """The slope of a line through points by least squares, and its standard error."""
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    rest = y - y.mean() - slope * x
    return slope, math.sqrt(float(rest @ rest) / max(1, len(x) - 2) / float(x @ x))


# ---- images ---------------------------------------------------------------------------------------------------


def light(samples: Numbers, crops: Numbers) -> Finding:
    """Do mean grey levels scatter as those of the crops do, around the same mean?"""
    shift, spread, usual = samples.mean() - crops.mean(), _sd(samples), _sd(crops)
    text = f"mean grey level {samples.mean():.0f} ± {spread:.0f}, of training crops {crops.mean():.0f} ± {usual:.0f}"
    factor = spread / max(usual, 1e-9)
    if factor > SCATTERED and spread > GREY_LEVELS and math.log(factor) > 2.33 * _log_sd_error(samples, crops):
        return Finding("light", False, f"too scattered: {text}", "other prediction")
    error = math.hypot(spread / math.sqrt(len(samples)), usual / math.sqrt(len(crops)))
    if abs(shift) > max(GREY_LEVELS, usual, 2.33 * error):
        return Finding("light", False, f"too {'bright' if shift > 0 else 'dark'}: {text}", "other prediction")
    return Finding("light", True, text)


def _sd(values: Numbers) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _log_sd_error(*groups: Numbers) -> float:
    """The standard error of the logarithm of two groups' ratio of standard deviations, if they are normal."""
    return math.sqrt(sum(1 / (2 * max(1, len(group) - 1)) for group in groups))


def grain_of(image: Numbers) -> float:
    """How much neighbouring pixels differ: the root mean square of the Laplacian, in grey levels; (C, h, w)."""
    inner = (
        4 * image[:, 1:-1, 1:-1] - image[:, :-2, 1:-1] - image[:, 2:, 1:-1] - image[:, 1:-1, :-2] - image[:, 1:-1, 2:]
    )
    return float(np.sqrt(np.mean(inner**2))) if inner.size else 0.0


def grain(samples: Numbers, crops: Numbers) -> Finding:
    """Are the samples as grainy or smooth as the crops?"""
    low, high = np.quantile(crops, [OUTSIDE, 1 - OUTSIDE])
    rough, smooth = (samples > high).mean(), (samples < low).mean()
    text = f"{np.median(samples):.1f} grey levels between neighbours, of training crops {np.median(crops):.1f}"
    for share, what in ((rough, "too grainy"), (smooth, "too smooth")):
        if unusual(share, len(samples)):
            return Finding("grain", False, f"{share:.0%} of the samples are {what}: {text}", "more steps")
    return Finding("grain", True, text)


def unusual(share: float, count: int) -> bool:
    """More of so many samples beyond the crops' 95 % quantile than chance explains, and than can be thrown away."""
    return share >= MANY and binomial_tail(round(share * count), count, OUTSIDE) < SURE


def binomial_tail(least: int, count: int, probability: float) -> float:
    """The probability of `least` or more of `count`."""
    return sum(math.comb(count, k) * probability**k * (1 - probability) ** (count - k) for k in range(least, count + 1))


# ---- masks ----------------------------------------------------------------------------------------------------


def objects(shown: int, count: int) -> Finding:
    """Does every sample show an object?"""
    share = 1 - shown / count if count else 0.0
    text = f"{count - shown} of {count} samples show none ({share:.0%})"
    return Finding("objects", share < WITHOUT_OBJECT, text, "" if share < WITHOUT_OBJECT else "more steps")


def masks(samples: Sequence[Mask], crops: Sequence[Mask]) -> list[Finding]:
    """Are masks speckled, holed or rough?"""
    if not (samples and crops):
        return []
    measures = {"pieces": pieces_of, "holes": holes_of, "roughness of the outline": roughness_of}
    found = [
        _beyond(name, *(np.array([of(mask) for mask in each]) for each in (samples, crops)))
        for name, of in measures.items()
    ]
    wrong = [finding for finding in found if not finding.fine]
    return wrong or [Finding("masks", True, "; ".join(finding.text for finding in found))]


def _beyond(what: str, samples: Numbers, crops: Numbers) -> Finding:
    share = float((samples > np.quantile(crops, 1 - OUTSIDE) + 1e-9).mean())
    text = f"{what} {samples.mean():.2f}, of training crops {crops.mean():.2f} in the mean"
    if unusual(share, len(samples)):
        return Finding("masks", False, f"{share:.0%} of the samples have too much or many: {text}", "more steps")
    return Finding("masks", True, text)


# ---- what to do -----------------------------------------------------------------------------------------------


def seen(run: Run) -> Finding:
    """How often each object or picture was learned from: a figure to compare trainings by, never wrong in itself."""
    counts = ", ".join(f"{count:,}{f' of {name}' if name else ''}" for name, count in run.items.items())
    return Finding("seen", True, f"each object or picture was learned from {run.seen:,.1f} times; there are {counts}")


ADVICE = ("fewer steps", "other prediction", "more steps", "other model")


def advice(found: Sequence[Finding], run: Run) -> list[str]:
    """What to do next, the most important first.

    Copies come first: more steps would make more of them. Samples that are wrong while the loss has settled gain little
    by more steps of the same kind.
    """
    asked = {finding.advice for finding in found if finding.fine is False}
    settled = any(finding.about == "loss" and finding.fine for finding in found)
    if "more steps" in asked and settled:
        asked |= {"other model"}
    texts = {
        "fewer steps": (
            f"The model repeats its pictures. Train for fewer steps (half of {run.steps:,}), on more pictures, or with "
            "more augmentation (--flips both, --gain 0.7 1.4)."
        ),
        "other prediction": _other_prediction(run),
        "more steps": (
            f"Train for more steps: {2 * run.steps:,} in a new folder, or with --init and this model for "
            f"{run.steps:,} more."
        ),
        "other model": (
            "If the loss stays where it is and samples are no better after that, take a larger --preset, or begin with "
            "a model that knows such pictures (--init)."
        ),
    }
    left_out = {"more steps", "other model"} if "fewer steps" in asked else set()
    return [texts[key] for key in ADVICE if key in asked - left_out]


def _other_prediction(run: Run) -> str:
    if run.prediction == "v":
        return "Light is learned late: train for more steps, with --init and this model."
    return (
        "Train with --prediction v, and --init with this model to keep what it has learned: near pure noise, where the "
        f"light is decided, a small error of {run.prediction} is a large one of the picture."
    )
