"""Presets: named sets of rules for composing. What each costs and gains stands in docs/settings.md.

A preset decides every rule of a recipe; what is stated beside it wins. It needs no name of its own in a recipe, which
states the values.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

PresetName = Literal["paper", "recommended", "fast"]

PHOTO = "photo"
"""The name under which pictures are models."""

NONE: Mapping[str, Any] = MappingProxyType({})


class Walk(NamedTuple):
    """How a composite comes down to level 0.

    Attributes:
        steps: T.
        jump_length, resamples: tau and r of the paper's resampling.
        stepper: by its name, and its settings.
    """

    steps: int
    jump_length: int
    resamples: int
    stepper: str = "ancestral"
    stepper_settings: Mapping[str, Any] = NONE

    def fields(self) -> dict[str, Any]:
        """The fields of a recipe that it decides, as JSON has them."""
        climbs = {"jump_length": self.jump_length, "resamples": self.resamples}
        return {
            "steps": self.steps,
            "timesteps": {"use": "tail-resampling", "settings": climbs},
            "stepper": {"use": self.stepper, "settings": dict(self.stepper_settings)},
        }


class InPhotographs(NamedTuple):
    """What holds where objects are composed into a photograph, and its light is all there from the start.

    Attributes:
        walk: in the place of the preset's.
        listen_from: the fraction of the denoising, 0..1, from which objects take in the photograph.
        threshold: of the hard mask, 0..1. Objects that listen early are smaller; a lower one makes up for that.
        strength: of objects beside their twins, least and most, in generated sets.
        visible_change: by how many grey levels an object changes what its label covers, in generated sets.
        reject: whether generated sets draw samples again that the checks turn down.
    """

    walk: Walk
    listen_from: float = 0.3
    threshold: float = 0.4
    strength: tuple[float, float] = (0.7, 1.6)
    visible_change: float = 4.0
    reject: bool = True


class Preset(NamedTuple):
    """Rules of a recipe; all that is not named here is the recipe's default.

    Attributes:
        about: what it is for, in a line.
        walk: where no photograph is the background.
        in_photographs: what holds there; None: the same.
    """

    about: str
    walk: Walk
    in_photographs: InPhotographs | None = None

    def within(self, photograph: bool) -> InPhotographs | None:
        """What else holds, with a photograph as the background or without."""
        return self.in_photographs if photograph else None

    def fields(self, photograph: bool) -> dict[str, Any]:
        """The fields of a recipe that it decides, as JSON has them, without the regions' `listen_from`."""
        more = self.within(photograph)
        return {
            **(more.walk if more else self.walk).fields(),
            "merge": {"use": "hard-mask", "settings": {"threshold": more.threshold if more else 0.5}},
            "merge_from": 0.9,
            "others": "clean",
            "seams": "keep-variance",
        }

    def listening(self, photograph: bool) -> float | None:
        """The `listen_from` of objects; None: as all regions do."""
        more = self.within(photograph)
        return more.listen_from if more else None


def early(steps: int, jump_length: int) -> InPhotographs:
    """For labels: contrast and area of composed blowholes are spread as those of real ones are (docs/evidence.md).

    Where the photograph is there from the start, deterministic steps keep in a fraction of the calls what ancestral
    ones lose: the objects' area (docs/settings.md).
    """
    return InPhotographs(Walk(steps, jump_length, 1, "ddim", MappingProxyType({"ancestral_from": 1.0})))


PRESETS: dict[PresetName, Preset] = {
    "paper": Preset("the paper's settings", Walk(250, 10, 2)),
    "recommended": Preset(
        "for training detectors: few calls, and in photographs light and labels", Walk(100, 5, 1), early(30, 2)
    ),
    "fast": Preset("for previews: fewer calls than recommended", Walk(50, 3, 1), early(20, 1)),
}
"""Every preset by its name."""
