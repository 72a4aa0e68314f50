"""The composer: several diffusion models denoise side by side and meet on one canvas.

Regions exchange only clean predictions; each makes its own noise, on its own grid, from its own table.
"""

import math
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar, cast

import torch
from PIL import Image
from torch import Tensor

from .checks import (
    check_cover,
    check_fraction,
    check_merged,
    check_others,
    check_prediction,
    check_regions,
    check_stepped,
)
from .composition import Composition, finish
from .devices import dtype_of, move
from .draws import normal
from .errors import CompositionError, did_you_mean
from .frames import clean_frame, noisy_frame
from .images import to_picture
from .mattes import blend
from .merge import HardMask
from .naming import numbered
from .protocols import Denoiser, Earlier, Layer, Merged, MergeRule, Prediction, Region, Size, Stepper, TimestepSchedule
from .region import canvas_spec, encoder, is_grey
from .steppers import Ancestral
from .timesteps import TailResampling, check_walk

Name = TypeVar("Name", bound=str)
TOGETHER = 8
"""How many samples `compose` runs as one batch."""


class Step(NamedTuple):
    """One move from level t to level s; lists hold one entry per region, from bottom to top."""

    t: int
    s: int
    states: list[Tensor]
    """x_s, (B, C+M, h, w); a still image's is that image, at every level."""
    predictions: list[Prediction] | None = None
    """The clean predictions at level t; None on a climb."""
    layers: list[Layer] | None = None
    """The predictions laid on the canvas; None where nothing was merged."""
    merged: Merged | None = None
    """What the merge rule made of the layers; None where nothing was merged."""
    composer: "Composer | None" = None
    """Whose step it is."""

    def preview(self, noisy: bool = False) -> list[Image.Image]:
        """What every sample looks like now, before the regions merge too.

        Args:
            noisy: False: the clean image as it is predicted here; True: the noisy states.

        Raises:
            CompositionError: the step was made by hand, without a composer.
        """
        if self.composer is None:
            raise CompositionError("A step without a composer has no picture; take steps from Composer.steps.")
        frame = noisy_frame if noisy else clean_frame
        shown = frame(self.composer.regions, self.composer.size, self.states, self.predictions, self.merged)
        return [to_picture(image, grey=self.composer.grey) for image in shown]


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
        others: which of the other models' tensors is noised in eq. 9: their "clean" prediction (default), or "noisy",
            their state x_t, the paper's literal notation, which has 1 + abar_s (1 - abar_t) / (1 - abar_s) times the
            right noise variance: twice at first, more near the end. A still image is the same under both.
        seams: how noise is mixed where a weight w lies between 0 and 1: "keep-variance" gives the fresh noise the
            weight sqrt(1 - w^2), "literal" is eq. 11 to the letter, which loses variance there; equal for hard masks.
        device: where the denoisers are; noise is drawn on the CPU, so that it does not depend on this.

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
        others: Literal["clean", "noisy"] = "clean",
        seams: Literal["keep-variance", "literal"] = "keep-variance",
        device: torch.device | str = "cpu",
    ) -> None:
        self.regions = check_regions(numbered(sorted(regions, key=lambda region: region.z)))
        self.size = size or canvas_spec(self.regions[0]).size
        self.timesteps = timesteps
        self.walk = check_walk(timesteps(steps), steps)
        self.T = steps
        self.noises = [region.denoiser.noise.respace(steps) for region in self.regions]
        self.stepper = stepper
        self.merge = merge
        self.merge_from = check_fraction("merge_from", merge_from)
        self.others = check_others(_one_of("others", others, ("clean", "noisy")), self.regions)
        self.seams = _one_of("seams", seams, ("keep-variance", "literal"))
        self.device = torch.device(device)
        self._supports = check_cover(self.regions, self.size, self.device)

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
            others=self.others,
            seams=self.seams,
            device=self.device,
        )

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
            self._supports = self._supports.to(self.device)
        self.__dict__.pop("_sharing", None)  # denoisers that were joined have the arithmetic of before
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
        if last.s != 0 or last.layers is None or last.merged is None:
            raise CompositionError(
                f"Only the last step, into level 0, can be finished; this one goes {last.t} -> {last.s}."
            )
        return finish(self.regions, last.layers, last.merged, self.merge)

    def steps(self, samples: int | Sequence[int] = 1, seed: int = 0) -> Iterator[Step]:
        """Denoise, one step at a time.

        Args:
            samples: how many images, or their numbers; a number's image does not depend on the others beside it.
            seed: all noise derives from (seed, sample, region, purpose).
        """
        draw = partial(self._draw, seed, sample_numbers(samples))
        noises, moving = self.noises, self._moving
        states = [draw(i, "start") for i in self._all]
        listening = [False for _ in self._all]
        earlier: list[Earlier | None] = [None for _ in self._all]

        for index, (t, s) in enumerate(pairwise(self.walk)):
            if s > t:  # climb: the forward process, eq. 1
                states = list(states)
                for i in moving:
                    states[i] = noises[i].diffuse(states[i], t, s, draw(i, "climb", index))
                earlier = [None for _ in self._all]
                yield Step(t, s, states, composer=self)
                continue

            # every region's clean image, from its own state
            predictions = self._predict(states, t)
            states = [states[i] if i in moving else predictions[i].clean for i in self._all]
            listening = [already or t <= window for already, window in zip(listening, self._windows)]

            # all of them on one canvas, where any region looks at it
            layers = self._lay(predictions) if any(listening) or s == 0 else None
            merged = self._merge(layers, s) if layers else None

            # eq. 10: every region's own next state
            aims = self._aims(predictions, layers, merged, listening)
            own = [prediction.clean for prediction in predictions]
            for i in moving:
                z = draw(i, "step", index)
                x_s = self.stepper(noises[i], states[i], aims[i], z, t, s, earlier[i])
                own[i] = check_stepped(x_s, states[i], self.regions[i], t, s)
            earlier = [Earlier(t, aim) for aim in aims]

            # eqs. 9 and 11: where a region does not own the pixel, what the others see there, noised to level s
            if layers and merged:
                others = self._seen_of_others(layers, merged, states)
                for i in moving:
                    if listening[i]:
                        own[i] = self._meet(i, own[i], others[i], merged, draw(i, "others", index), s)
            states = own
            yield Step(t, s, states, predictions, layers, merged, self)

    def _draw(self, seed: int, samples: Sequence[int], i: int, purpose: str, index: int = 0) -> Tensor:
        """Noise for region number i; none for a still one, where only the shape is of use."""
        shape, name = self.regions[i].denoiser.spec.shape, self.regions[i].name
        if i not in self._moving:
            return torch.zeros(len(samples), *shape, device=self.device)
        z = normal(shape, seed=seed, samples=samples, region=name, purpose=purpose, index=index)
        return z.to(self.device)

    def _predict(self, states: Sequence[Tensor], t: int) -> list[Prediction]:
        """Every region's prediction at level t; regions that share a denoiser, or its family, run as one batch."""
        predictions: dict[int, Prediction] = {}
        for denoiser, members in self._sharing:
            level = self.noises[members[0]].levels[t]
            together = torch.cat([states[i] for i in members])
            names = [self.regions[i].name for i in members]
            prediction = check_prediction(denoiser(together, level), together, names, t)
            predictions.update(zip(members, split(prediction, len(members))))
        return [predictions[i] for i in self._all]

    def _lay(self, predictions: Sequence[Prediction]) -> list[Layer]:
        return [region.lay(p.clean, self.size) for region, p in zip(self.regions, predictions)]

    def _merge(self, layers: Sequence[Layer], s: int) -> Merged:
        merged = self.merge(layers, 1 - s / self.T)
        return check_merged(merged, layers, self._supports, self.regions, s)

    def _aims(
        self,
        predictions: list[Prediction],
        layers: Sequence[Layer] | None,
        merged: Merged | None,
        listening: Sequence[bool],
    ) -> list[Prediction]:
        """What each region steps towards: its prediction, repainted if it listens to a rule that does so."""
        if not (layers and merged and self._repaints):
            return predictions
        parts = zip(self.regions, predictions, layers, repainted(layers, merged), listening)
        return [relaid(r, p, old, new) if listens else p for r, p, old, new, listens in parts]

    def _seen_of_others(self, layers: Sequence[Layer], merged: Merged, states: Sequence[Tensor]) -> list[Tensor]:
        """For each region the canvas less its own share: (1 - w) times what the others see there."""
        if self.others == "noisy":
            layers = [region.lay(x, self.size) for region, x in zip(self.regions, states)]
            merged = blend(layers, merged.weights)
        elif self._repaints:
            layers = repainted(layers, merged)
        return [merged.canvas - share * layer.image for share, layer in zip(merged.weights, layers)]

    def _meet(self, i: int, own: Tensor, others: Tensor, merged: Merged, z: Tensor, s: int) -> Tensor:
        """Eqs. 9 and 11 on the grid of region number i; the mask channel stays the region's own."""
        region, weights = self.regions[i], merged.weights[i]
        channels = region.denoiser.spec.image_channels
        share = region.view(weights).clamp(0, 1)  # resizing rounds, and 1 + 1e-7 has no root below
        fresh = 1 - share if self.seams == "literal" else (1 - share**2).sqrt()
        if encode := encoder(region):  # of whole pictures only: the canvas fills in what is the region's own
            seen = (1 - share) * encode(others + weights * merged.canvas)
        else:
            seen = region.view(others)
        image = share * own[:, :channels] + self.noises[i].diffuse(seen, 0, s, fresh * z[:, :channels])
        return torch.cat([image, own[:, channels:]], dim=1)

    @property
    def _repaints(self) -> bool:
        return bool(getattr(self.merge, "repaints", False))

    @property
    def _all(self) -> range:
        return range(len(self.regions))

    @cached_property
    def _moving(self) -> list[int]:
        """The regions whose state decides what they predict; a still one keeps its clean image as its state."""
        return [i for i, region in enumerate(self.regions) if not getattr(region.denoiser, "still", False)]

    @cached_property
    def _sharing(self) -> list[tuple[Denoiser, list[int]]]:
        """Each denoiser once, or each family of them joined, with the regions that it serves."""
        members: dict[Hashable, list[int]] = {}
        for i, region in enumerate(self.regions):
            members.setdefault(getattr(region.denoiser, "family", id(region.denoiser)), []).append(i)
        return [(joined([self.regions[i].denoiser for i in group]), group) for group in members.values()]

    @cached_property
    def _windows(self) -> list[int]:
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


def joined(denoisers: Sequence[Denoiser]) -> Denoiser:
    """The denoiser of a batch in equal parts, one for each of these, which are the same or of one family."""
    first: Any = denoisers[0]
    return cast(Denoiser, first if len({*map(id, denoisers)}) == 1 else first.joined(denoisers))


def repainted(layers: Sequence[Layer], merged: Merged) -> list[Layer]:
    """The layers with what a rule that repaints has changed beyond weighing them."""
    change = merged.canvas - blend(layers, merged.weights).canvas
    return [Layer(image + change, matte) for image, matte in layers]


def relaid(region: Region, prediction: Prediction, old: Layer, new: Layer) -> Prediction:
    """The prediction whose layer is the new one instead of the old one; the mask stays."""
    clean, channels = prediction.clean, region.denoiser.spec.image_channels
    encode = encoder(region)
    image = encode(new.image) if encode else clean[:, :channels] + region.view(new.image - old.image)
    return prediction._replace(clean=torch.cat([image, clean[:, channels:]], dim=1))


def split(prediction: Prediction, parts: int) -> list[Prediction]:
    """A batch's prediction cut back into those of its regions."""
    clean, spread = prediction
    spreads = [None] * parts if spread is None else spread.expand_as(clean).chunk(parts)
    return [Prediction(*part) for part in zip(clean.chunk(parts), spreads)]


def _one_of(name: str, given: Name, known: Sequence[str]) -> Name:
    if given not in known:
        raise CompositionError(
            f"{name} is {given!r}; expected {' or '.join(map(repr, known))}.{did_you_mean(given, known)}"
        )
    return given
