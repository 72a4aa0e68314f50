"""Presets: named sets of rules for composing. What each costs and gains stands in docs/settings.md.

A preset decides every rule of a recipe; what is stated beside it wins. It needs no name of its own in a recipe, which
states the values.
"""

from typing import Any, Literal, NamedTuple

PresetName = Literal["paper", "recommended", "fast"]

PHOTO = "photo"
"""The name under which pictures are models."""


class InPhotographs(NamedTuple):
    """What else holds where objects are composed into a photograph, and its light is all there from the start.

    Attributes:
        listen_from: the fraction of the denoising, 0..1, from which objects take in the photograph.
        threshold: of the hard mask, 0..1. Objects that listen early are smaller; a lower one makes up for that.
        strength: of objects beside their twins, least and most, in generated sets.
        reject: whether generated sets draw samples again that the checks turn down.
    """

    listen_from: float
    threshold: float
    strength: tuple[float, float]
    reject: bool = True


class Preset(NamedTuple):
    """Rules of a recipe; all that is not named here is the recipe's default.

    Attributes:
        about: what it is for, in a line.
        steps: T.
        jump_length, resamples: tau and r of the paper's resampling.
        in_photographs: what else holds there; None: nothing.
    """

    about: str
    steps: int
    jump_length: int
    resamples: int
    in_photographs: InPhotographs | None = None

    def within(self, photograph: bool) -> InPhotographs | None:
        """What else holds, with a photograph as the background or without."""
        return self.in_photographs if photograph else None

    def fields(self, photograph: bool) -> dict[str, Any]:
        """The fields of a recipe that it decides, as JSON has them, without the regions' `listen_from`."""
        more = self.within(photograph)
        walk = {"jump_length": self.jump_length, "resamples": self.resamples}
        return {
            "steps": self.steps,
            "timesteps": {"use": "tail-resampling", "settings": walk},
            "stepper": {"use": "ancestral", "settings": {}},
            "merge": {"use": "hard-mask", "settings": {"threshold": more.threshold if more else 0.5}},
            "merge_from": 0.9,
            "others": "clean",
            "seams": "keep-variance",
        }

    def listening(self, photograph: bool) -> float | None:
        """The `listen_from` of objects; None: as all regions do."""
        more = self.within(photograph)
        return more.listen_from if more else None


LABELS = InPhotographs(listen_from=0.3, threshold=0.4, strength=(0.7, 1.6))
"""With it, contrast and area of composed blowholes are spread as those of real ones are, and detectors that learn from
them find more (docs/evidence.md)."""

PRESETS: dict[PresetName, Preset] = {
    "paper": Preset("the paper's settings", 250, 10, 2),
    "recommended": Preset(
        "for training detectors: fewer calls, and in photographs light and labels", 100, 5, 1, LABELS
    ),
    "fast": Preset("for previews: half the calls of recommended", 50, 3, 1, LABELS),
}
"""Every preset by its name."""
