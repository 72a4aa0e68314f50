"""The composer: several diffusion models denoise side by side and meet on one canvas.

Regions exchange only clean predictions; each makes its own noise, on its own grid, from its own table.
"""

import math
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice, pairwise
from types import MappingProxyType

import torch

from .checks import (
    check_cover,
    check_exchange,
    check_finite,
    check_merged,
    check_objects,
    check_regions,
    check_still,
)
from .composition import Composition, finish
from .devices import device_of, dtype_of, move
from .draws import RegionNoise
from .errors import CompositionError, check_fraction
from .exchange import Exchange
from .geometry import Size, moved
from .meeting import Canvas, Meeting
from .merge import HardMask
from .naming import numbered
from .protocols import Denoiser, Layer, MergeRule, Region, Stepper, TimestepSchedule
from .region import is_grey
from .returned import levels_of, merged_of
from .step import Step
from .steppers import Ancestral
from .timesteps import TailResampling, check_walk
from .walker import Batch, Begun, Walker
from .windows import Window, windows
from .wrapper import family_of, joined

TOGETHER = 8
"""How many samples `compose` runs as one batch."""


class Composer:
    """Composes regions into one image while they denoise.

    Args:
        regions: one or more, in any order; sorted by their z from bottom to top. Of those without a name the
            lowest is called "background", the others "object-1" and so on.
        size: (H, W) of the canvas; None: the own size of the bottom region.
        steps: T, the common number of levels to which every denoiser's table is respaced.
        timesteps: the walk over the levels; costs a network call for each step down.
        stepper: how a region's own state moves down, in eq. 10's place.
        merge: how clean predictions become one canvas.
        merge_from: the fraction of the denoising, 0..1, after which a region takes in the others; 1 never does, and
            pastes at the end. A step merges by the level t that it leaves: t <= (1 - merge_from) T, or the level that
            the last step leaves where that is higher. So a long step across the border is still taken alone. Once a
            region has begun, it goes on in every later descent, resampling included.
        exchange: how eqs. 9 and 11 are read: which tensors of the others a region is shown, and how noise is mixed.

    Attributes:
        device: where the denoisers state that they are, or where `to` has moved them; the CPU if none states it. Noise
            is drawn on the CPU, so that it does not depend on this.

    Raises:
        CompositionError, GeometryError, ScheduleError: what does not fit, before any network is called.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        *,
        size: Size | None = None,
        steps: int = 250,
        timesteps: TimestepSchedule = TailResampling(),
        stepper: Stepper = Ancestral(),
        merge: MergeRule = HardMask(),
        merge_from: float = 0.9,
        exchange: Exchange = Exchange(),
    ) -> None:
        self.regions = check_regions(numbered(sorted(regions, key=lambda region: region.z)))
        check_objects(self.regions[1:])
        self.size = size or self.regions[0].denoiser.spec.picture.size
        self.timesteps = timesteps
        self.walk = check_walk(levels_of(timesteps, timesteps(steps)), steps)
        self.T = steps
        self.noises = [region.denoiser.noise.respace(steps) for region in self.regions]
        self.stepper = stepper
        self.merge = merge
        self.merge_from = check_fraction("merge_from", merge_from)
        self.exchange = check_exchange(exchange, self.regions)
        self.device = device_of(region.denoiser for region in self.regions)
        check_still(self.regions, self.device)
        self._supports = check_cover(self.regions, self.size, self.device)
        self._windows = windows(self.regions, self.size, self.merge)

    def with_steps(self, steps: int) -> "Composer":
        """The same regions and rules on another number of levels."""
        return Composer(
            self.regions,
            size=self.size,
            steps=steps,
            timesteps=self.timesteps,
            stepper=self.stepper,
            merge=self.merge,
            merge_from=self.merge_from,
            exchange=self.exchange,
        ).to(self.device)

    def __repr__(self) -> str:
        height, width = self.size
        names = ", ".join(region.name for region in self.regions)
        return f"<Composer of a {width}x{height} canvas in {len(self.walk) - 1} steps: {names}>"

    @property
    def grey(self) -> bool:
        """Whether every region paints grey, so that pictures of the canvas are grey."""
        return all(map(is_grey, self.regions))

    @property
    def dtype(self) -> torch.dtype:
        """The arithmetic of the networks, as the bottom region's denoiser states it; states are always float32."""
        return dtype_of(self.regions[0].denoiser)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Composer":
        """Move the denoisers to a device, or change the arithmetic of their networks, in place, and return self.

        What is left out stays. Denoisers that other composers share are moved for these, too.
        """
        for region in self.regions:
            move(region.denoiser, device, dtype)
        if device is not None:
            self.device = torch.device(device)
            self._supports = [support if support is None else support.to(self.device) for support in self._supports]
        self.__dict__.pop("_batches", None)  # denoisers that were joined have the arithmetic of before
        return self

    def compose(self, samples: int | Sequence[int] = 1, seed: int = 0, *, batch_size: int = TOGETHER) -> Composition:
        """Run every step and return the finished composition; arguments as for `steps`.

        Args:
            batch_size: how many samples run through the networks together, which bounds their memory. The composition
                that is returned holds all of them; a `run.Run` gives them one by one instead.
        """
        numbers = sample_numbers(samples)
        if batch_size < 1:
            raise CompositionError(f"batch_size is {batch_size}; expected 1 or more samples that run together.")
        batches = [numbers[start : start + batch_size] for start in range(0, len(numbers), batch_size)]
        return Composition.joined([self.finish(deque(self.steps(batch, seed), maxlen=1).pop()) for batch in batches])

    def finish(self, last: Step) -> Composition:
        """The composition of the last step that `steps` gave."""
        if last.s != 0 or last.canvas is None:
            raise CompositionError(
                f"Only the last step, into level 0, can be finished; this one goes {last.t} -> {last.s}."
            )
        return finish(last.canvas, self.merge)

    @cached_property
    def meets_at(self) -> int:
        """How many steps of the walk the regions take before any of them looks at another."""
        first = max(self._listens_from)
        return next(i for i, (t, s) in enumerate(pairwise(self.walk)) if t <= first or s == 0)

    def begin(
        self, samples: int | Sequence[int] = 1, seed: int = 0, known: Mapping[str, Begun] = MappingProxyType({})
    ) -> dict[str, Begun]:
        """Denoise each region alone for the first `meets_at` steps, in which none looks at another.

        A region's state there depends on its denoiser, its name, the samples, the seed and the walk, neither on its box
        nor on the other regions: composers that agree in these may take it from each other. `steps` with what is
        returned gives the bits that it gives without, as long as the same regions run as one batch.

        Args:
            samples: as for `steps`.
            seed: as for `steps`.
            known: the states of some regions, by their names, which are not denoised again.

        Returns:
            the states of all regions that are no still images, by their names.

        Raises:
            CompositionError: a denoiser carries a state of its own from step to step, which cannot be handed over.
        """
        missing = [i for i, each in enumerate(self.regions) if not each.denoiser.spec.still and each.name not in known]
        walkers = {i: self._walker(i, sample_numbers(samples), seed) for i in missing}
        batches = [Batch(denoiser, [walkers[i] for i in members]) for denoiser, members in self._grouped(missing)]
        if any(batch.stateful for batch in batches):
            raise CompositionError("A denoiser carries a state from step to step, which regions cannot share.")
        for walker in walkers.values():
            walker.start(self.stepper)
        for index, (t, s) in islice(enumerate(pairwise(self.walk)), self.meets_at):
            for batch in batches if s < t else ():
                batch.predict(t)
            for walker in walkers.values():
                (walker.step if s < t else walker.climb)(self.stepper, t, s, index)
        return {**known, **{walker.region.name: Begun(walker.x, walker.memory) for walker in walkers.values()}}

    def steps(
        self, samples: int | Sequence[int] = 1, seed: int = 0, begun: Mapping[str, Begun] | None = None
    ) -> Iterator[Step]:
        """Denoise, one step at a time.

        Args:
            samples: how many images, or their numbers; a number's image does not depend on the others beside it.
            seed: all noise derives from (seed, sample, region, purpose).
            begun: what `begin` gave for these samples and this seed: its steps are left out here.
        """
        walkers = [self._walker(i, sample_numbers(samples), seed) for i in range(len(self.regions))]
        moving = [walker for walker in walkers if not walker.still]
        batches = [Batch(denoiser, [walkers[i] for i in members]) for denoiser, members in self._batches]
        for walker in moving:
            if begun is None:
                walker.start(self.stepper)  # x_T, (B, C+M, h, w)
            else:
                walker.go_on(begun[walker.region.name])

        for index, (t, s) in islice(enumerate(pairwise(self.walk)), 0 if begun is None else self.meets_at, None):
            if s > t:  # climb: the forward process, eq. 1
                for walker in moving:
                    walker.climb(self.stepper, t, s, index)
                for batch in batches:
                    batch.restart()
                yield Step(t, s, self.size, self.regions, [walker.x for walker in walkers])
                continue

            # every region's clean image x0-hat, (B, C+M, h, w), from its own state
            for batch in batches:
                batch.predict(t)

            # all of them on one canvas (B, C, H, W), where any region looks at it, and what they see of each other
            canvas = self._meet(walkers, t, s)
            views = self._views(canvas, walkers)

            # eq. 10: every region's own next state x_s, (B, C+M, h, w)
            for walker in moving:
                walker.step(self.stepper, t, s, index)

            # eqs. 9 and 11: where a region does not own the pixel, what is seen of the others there, noised to level s
            for seen in views:
                self._take_in(seen, walkers, s, index)
            states, predictions = [walker.x for walker in walkers], [walker.prediction for walker in walkers]
            yield Step(t, s, self.size, self.regions, states, predictions, canvas)

    def _walker(self, i: int, samples: Sequence[int], seed: int) -> Walker:
        """Region number i before its first step; a still one has its clean image for good."""
        region, spec = self.regions[i], self.regions[i].denoiser.spec
        noise = RegionNoise(spec.shape, seed=seed, samples=samples, region=region.name, device=self.device)
        walker = Walker(region, self.noises[i], self._listens_from[i], noise)
        if spec.still:
            walker.stay(len(samples), self.device)
        return walker

    def _meet(self, walkers: Sequence[Walker], t: int, s: int) -> Canvas | None:
        """The predictions laid on the canvas and merged, window by window; regions may be given new aims.

        None where no region listens yet, except at the end.
        """
        for walker in walkers:
            walker.listening = walker.listening or t <= walker.window
        if s > 0 and not any(walker.listening for walker in walkers):
            return None
        for walker in walkers:
            if not walker.still:
                check_finite(walker.prediction, [walker.region.name], t)
        laid = [walker.layer() for walker in walkers]
        meetings = [self._merged(window, laid, s) for window in self._windows]
        for meeting in meetings:
            if meeting.merged.change is not None:
                self._repaint(meeting, walkers)
        return Canvas(self.size, self.regions, laid, meetings)

    def _merged(self, window: Window, laid: Sequence[Layer], s: int) -> Meeting:
        layers = self._in(window, laid)
        merged = merged_of(self.merge, self.merge(layers, 1 - s / self.T))
        return Meeting(window, layers, check_merged(merged, layers, window, self.regions, self._supports, s))

    def _in(self, window: Window, laid: Sequence[Layer]) -> list[Layer]:
        """The layers of a window's members, (B, C, *window.box.size), from all layers, each on its own place."""
        places = ((laid[i], self.regions[i].place) for i in window.members)
        return [Layer(*(moved(part, place, window.box) for part in layer)) for layer, place in places]

    def _repaint(self, meeting: Meeting, walkers: Sequence[Walker]) -> None:
        """Give each region that listens the aim that a rule's new pixels stand for."""
        for i, *pair in zip(meeting.window.members, meeting.layers, meeting.repainted(), strict=True):
            if walkers[i].listening and not walkers[i].still:
                box = self.regions[i].place.seen_from(meeting.window.box)
                walkers[i].repaint(*(Layer(*map(box.crop, layer)) for layer in pair))

    def _views(self, canvas: Canvas | None, walkers: Sequence[Walker]) -> list[Meeting]:
        """The windows as the regions see each other in them: clean, as the rule has changed them, or noisy."""
        if canvas is None:
            return []
        if self.exchange.others == "clean":
            return [replace(meeting, layers=meeting.repainted()) for meeting in canvas.meetings]
        laid = [walker.region.lay(walker.x) for walker in walkers]
        return [meeting.mixed(self._in(meeting.window, laid)) for meeting in canvas.meetings]

    def _take_in(self, seen: Meeting, walkers: Sequence[Walker], s: int, index: int) -> None:
        """Show each region of a window that listens what is seen of the others, the canvas less its own share."""
        window, canvas = seen.window, seen.merged.canvas
        for i, weights, layer in zip(window.members, seen.merged.weights, seen.layers, strict=True):
            if walkers[i].listening and not walkers[i].still:
                box = self.regions[i].place.seen_from(window.box)
                w, image, merged = box.crop(weights), box.crop(layer.image), box.crop(canvas)
                walkers[i].meet(w, merged - w * image, merged, s, index, self.exchange.seams)

    @cached_property
    def _batches(self) -> list[tuple[Denoiser, list[int]]]:
        """Each denoiser that moves, with the numbers of its regions."""
        return self._grouped([i for i, region in enumerate(self.regions) if not region.denoiser.spec.still])

    def _grouped(self, moving: Sequence[int]) -> list[tuple[Denoiser, list[int]]]:
        """Of these regions each denoiser once, or each family of them joined, with the numbers of its regions."""
        members: dict[Hashable, list[int]] = {}
        for i in moving:
            members.setdefault(family_of(self.regions[i].denoiser), []).append(i)
        groups = (([self.regions[i].denoiser for i in group], group) for group in members.values())
        return [(parts[0] if len({*map(id, parts)}) == 1 else joined(parts), group) for parts, group in groups]

    @cached_property
    def _listens_from(self) -> list[int]:
        """For each region the highest level from which it takes in the others, the last step's at least; 0: never."""
        starts = (self.merge_from if r.listen_from is None else r.listen_from for r in self.regions)
        last = self.walk[-2]
        return [max(last, math.floor((1 - start) * self.T + 1e-9)) if start < 1 else 0 for start in starts]


def sample_numbers(samples: int | Sequence[int]) -> Sequence[int]:
    """The samples' numbers, of which there must be at least one."""
    numbers = range(samples) if isinstance(samples, int) else samples
    if not len(numbers):
        raise CompositionError(f"samples is {samples}; expected at least one, as a number of images or their numbers.")
    return numbers
