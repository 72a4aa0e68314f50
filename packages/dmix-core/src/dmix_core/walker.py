"""One region on its way down: its state, what its denoiser predicts, and how it takes in the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .checks import check_prediction, check_stepped, still_prediction
from .draws import RegionNoise
from .exchange import Seams
from .noise import NoiseSchedule
from .protocols import Denoiser, Layer, Prediction, Region, StatefulDenoiser, Stepper
from .region import encoded
from .returned import prediction_of, stepped_of
from .wrapper import split


@dataclass(eq=False)
class Walker:
    """A region in a run.

    Attributes:
        region: what walks.
        table: its noise table, on the levels that are walked.
        window: the highest level from which it takes in the others; 0: never.
        noise: its draws.
        x: its state, (B, C+M, h, w); a still image's is its clean image.
        prediction: its denoiser's, from the state before the last step.
        aim: what it steps towards: the prediction, or that as a merge rule has changed it.
        listening: whether it takes in the others; once begun it goes on.
        memory: its stepper's state.
        laid: a still image's layer.
    """

    region: Region
    table: NoiseSchedule
    window: int
    noise: RegionNoise
    x: Tensor = field(init=False)
    prediction: Prediction = field(init=False)
    aim: Prediction = field(init=False)
    listening: bool = False
    memory: Any = None
    laid: Layer | None = None

    @property
    def still(self) -> bool:
        """Whether its prediction is the same at every step."""
        return self.region.denoiser.spec.still

    def stay(self, samples: int, device: torch.device) -> None:
        """Predict once for all steps and all samples, which share one image in memory."""
        spec = self.region.denoiser.spec
        clean = still_prediction(self.region, device).clean  # (1, C+M, h, w)
        self.x = clean.expand(samples, *spec.shape)
        self.predicted(Prediction(self.x))
        self.laid = Layer(*(part.expand(samples, *part.shape[1:]) for part in self.region.lay(spec.decoded(clean))))

    def start(self, stepper: Stepper) -> None:
        """Begin with nothing but noise."""
        self.x = self.noise("start")
        self.memory = stepper.init(self.x)

    def climb(self, stepper: Stepper, t: int, s: int, index: int) -> None:
        """The forward process from level t up to level s, eq. 1."""
        self.x = self.table.diffuse(self.x, t, s, self.noise("climb", index))
        self.memory = stepper.init(self.x)

    def predicted(self, prediction: Prediction) -> None:
        """Take in what its denoiser predicts from its state."""
        self.prediction = self.aim = prediction

    def layer(self) -> Layer:
        """Its prediction laid on its place, (B, C, *place.size)."""
        return self.laid or self.region.lay(self.region.denoiser.spec.decoded(self.prediction.clean))

    def repaint(self, old: Layer, new: Layer) -> None:
        """Aim at the prediction whose layer, (B, C, *place.size), is the new one, not the old one; the mask stays."""
        spec, clean = self.region.denoiser.spec, self.prediction.clean
        if spec.codec:
            image = encoded(self.region, new.image)
        else:
            image = clean[:, : spec.image_channels] + self.region.view(new.image - old.image)
        self.aim = self.prediction._replace(clean=torch.cat([image, clean[:, spec.image_channels :]], dim=1))

    def step(self, stepper: Stepper, t: int, s: int, index: int) -> None:
        """Its own next state, eq. 10."""
        z = self.noise("step", index)
        x_s, self.memory = stepped_of(stepper, stepper.step(self.table, self.x, self.aim, z, t, s, self.memory))
        self.x = check_stepped(x_s, self.x, self.aim, self.region, t, s)

    def meet(self, weights: Tensor, others: Tensor, canvas: Tensor, s: int, index: int, seams: Seams) -> None:
        """Eqs. 9 and 11: where it does not own a pixel, what is seen of the others there, noised to level s.

        The mask channel stays its own.

        Args:
            weights: (B, 1, *place.size), its share of each pixel.
            others: (B, C, *place.size), the canvas less its share, (1 - w) times what is seen of the others.
            canvas: (B, C, *place.size), merged.
        """
        z, channels = self.noise("others", index), self.region.denoiser.spec.image_channels
        share = self.region.view(weights).clamp(0, 1)  # resizing rounds, and 1 + 1e-7 has no root below
        fresh = 1 - share if seams == "literal" else (1 - share**2).sqrt()
        if self.region.denoiser.spec.codec:  # encodes whole pictures: the canvas fills in what is the region's own
            seen = (1 - share) * encoded(self.region, others + weights * canvas)
        else:
            seen = self.region.view(others)
        image = share * self.x[:, :channels] + self.table.diffuse(seen, 0, s, fresh * z[:, :channels])
        self.x = torch.cat([image, self.x[:, channels:]], dim=1)


class Batch:
    """Walkers whose denoisers run as one: `denoiser` is that of a batch in equal parts, one for each of them."""

    def __init__(self, denoiser: Denoiser, walkers: Sequence[Walker]) -> None:
        self.denoiser, self.walkers = denoiser, walkers
        self._stateful = denoiser if isinstance(denoiser, StatefulDenoiser) else None
        self._state: Any = None
        self._names = [walker.region.name for walker in walkers]

    def restart(self) -> None:
        """Forget the denoiser's state, after a climb."""
        self._state = None

    def predict(self, t: int) -> None:
        """The clean image of each walker from its state at level t."""
        first, *more = self.walkers
        x, level = first.x, first.table.levels[t]
        if more:
            x = torch.cat([walker.x for walker in self.walkers])  # (walkers * B, C+M, h, w)
        prediction = check_prediction(self._predict(x, level), x, self._names, t)
        parts = split(prediction, len(self.walkers)) if more else [prediction]
        for walker, part in zip(self.walkers, parts, strict=True):
            walker.predicted(part)

    def _predict(self, x: Tensor, level: int) -> Prediction:
        if self._stateful is None:
            return prediction_of(self.denoiser, self.denoiser(x, level))
        state = self._stateful.init(x) if self._state is None else self._state
        prediction, self._state = self._stateful.step(x, level, state)
        return prediction_of(self.denoiser, prediction)
