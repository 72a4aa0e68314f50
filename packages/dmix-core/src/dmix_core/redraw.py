"""Samples in which an object does not show: found, drawn again from other noise, or left out.

    redraw = Redraw(run, tries=3, drop=True)
    for sample in redraw.samples():
        ...
    run.recipe.draws, run.recipe.dropped  # {3: 1000003}, (5,)

A sample that is drawn again keeps its number and takes its noise from another one: the number plus 1,000,000 for each
try. Each try draws the whole batch again, since a network's call differs in its last digits with the size of its batch:
so what is kept is bit for bit what the recipe makes on another day.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .limits import HIGHEST_SEED, MOST_SAMPLES
from .run import Run, RunFolder, StepHook
from .sample import Sample, SampleObject

FADED = 6.0
"""Grey levels: the 5th percentile of the contrast of 59 real blowholes, as docs/measurements.md has it."""

BatchHook = Callable[[Sequence[int]], object]
"""Called with the numbers of a batch's samples before it is drawn again."""


class Unseen(NamedTuple):
    """An object that does not show where its label is.

    Attributes:
        name: of its region.
        contrast: with its surroundings, in grey levels; None where its mask is empty.
    """

    name: str
    contrast: float | None


def unseen(sample: Sample, least: float = FADED) -> list[Unseen]:
    """The objects of a sample whose mask is empty, hidden parts included, or whose contrast is below the least.

    An object that fills its box has no mask, and is not judged; nor is the contrast of one that others hide.
    """
    return [Unseen(each.name, each.figures.contrast) for each in sample.objects if _is_unseen(each, least)]


def _is_unseen(found: SampleObject, least: float) -> bool:
    if bool(found.whole.all()):
        return False
    contrast = found.figures.contrast
    return not bool(found.whole.any()) or (contrast is not None and contrast < least)


class Redraw:
    """The samples of a run, with what becomes of those in which an object does not show.

    Attributes:
        run: its recipe has the draws that were made, once a batch is finished.
        unseen: the objects that do not show, by the numbers of the samples that were kept all the same.
        redrawn: how often the samples were drawn again that were.
        dropped: what did not show in the samples that were left out.

    Args:
        source: a run, or the folder of one, whose finished samples stay.
        tries: how often a sample is drawn again at most.
        drop: whether samples that are no better after that are left out.
        least_contrast: in grey levels; an object of less has faded.
    """

    def __init__(
        self, source: Run | RunFolder, tries: int = 0, drop: bool = False, least_contrast: float = FADED
    ) -> None:
        self.source, self.run = source, source.run if isinstance(source, RunFolder) else source
        self.tries, self.drop, self.least_contrast = tries, drop, least_contrast
        self.unseen: dict[int, list[Unseen]] = {}
        self.redrawn: dict[int, int] = {}
        self.dropped: dict[int, list[Unseen]] = {}

    def samples(self, on_step: StepHook | None = None, on_redraw: BatchHook | None = None) -> Iterator[Sample]:
        """The finished samples, in the recipe's order; the run's recipe has a batch's draws before its first sample.

        Args:
            on_step: called after every step, those of repeated batches included.
        """
        for batch in self.run.recipe.batches():
            samples = self.source.batch(batch, on_step)
            while again := self._to_draw(batch, samples):
                if on_redraw:
                    on_redraw(batch)
                self._take_other_noise(again)
                samples = self.source.batch(batch, on_step)
            yield from self._kept(samples)

    def _to_draw(self, batch: Sequence[int], samples: Sequence[Sample]) -> list[int]:
        """The samples to be drawn again; the tries of a run that is resumed count, so that it ends as it would have."""
        if isinstance(self.source, RunFolder) and self.source.is_finished(batch):
            return []
        numbers = (sample.number for sample in samples if unseen(sample, self.least_contrast))
        return [number for number in numbers if self._tried(number) < self.tries]

    def _tried(self, number: int) -> int:
        """How often a sample was drawn again so far."""
        return (self.run.recipe.draws.get(number, number) - number) % (HIGHEST_SEED + 1) // MOST_SAMPLES

    def _take_other_noise(self, numbers: Sequence[int]) -> None:
        draws = self.run.recipe.draws
        again = {number: (draws.get(number, number) + MOST_SAMPLES) % (HIGHEST_SEED + 1) for number in numbers}
        self.run.recipe = self.run.recipe.model_copy(update={"draws": draws | again})
        self.redrawn |= {number: self._tried(number) for number in numbers}

    def _kept(self, samples: Sequence[Sample]) -> list[Sample]:
        found = {sample.number: unseen(sample, self.least_contrast) for sample in samples}
        found = {number: objects for number, objects in found.items() if objects}
        if not (found and self.drop):
            self.unseen |= found
            return [*samples]
        self.dropped |= found
        self.run.recipe = self.run.recipe.model_copy(update={"dropped": (*self.run.recipe.dropped, *found)})
        return [sample for sample in samples if sample.number not in found]
