"""The vocabulary: what a denoiser, a region, a merge rule, a stepper and a timestep schedule are.

Shapes: B batch, C image channels, M mask channels (0 or 1), h w a model's grid, H W the canvas, N regions from bottom
to top. Images are in [-1, 1], mattes and weights in [0, 1]. Levels run from T (noise) to 0 (clean).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from .noise import NoiseSchedule

Size = tuple[int, int]
"""(height, width) in pixels."""


class Spec(NamedTuple):
    """What a denoiser paints: its grid and its channels."""

    size: Size
    image_channels: int = 3
    mask_channels: int = 0

    @property
    def channels(self) -> int:
        """C + M, the channels of the denoiser's state."""
        return self.image_channels + self.mask_channels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C + M, h, w) of one sample's state."""
        return self.channels, *self.size


class Prediction(NamedTuple):
    """What a denoiser says of a state."""

    clean: Tensor
    """x0-hat, (B, C+M, h, w) in about [-1, 1]."""
    spread: Tensor | None = None
    """Learned variance, broadcastable to `clean`: about 0 (beta-tilde) to 1 (beta), and a network may say a little
    more or less; None means beta-tilde."""


@runtime_checkable
class Denoiser(Protocol):
    """Says which clean image a noisy one came from.

    It may have more attributes:

    - `still`: True promises that its prediction does not depend on its state. The composer spares it noise and steps,
      and keeps the clean image as its state.
    - `family`, hashable, and `joined(members)`: denoisers of one spec and table whose families are equal can run as one
      batch. `joined` gives the denoiser of a batch in equal parts, one for each member, in their order. The composer
      calls that instead of each on its own.
    - `region_type`: what makes its region in a recipe, called as BoxRegion(denoiser, box, name, z, listen_from) is; for
      denoisers whose grid is not of pixels.
    - `grey`: True where all that it paints may be written as grey.

    A wrapper keeps the denoiser inside as its attribute `denoiser`; of these, `region_type` and `grey` are those of the
    one inside, unless the wrapper has its own.
    """

    @property
    def spec(self) -> Spec: ...

    @property
    def noise(self) -> NoiseSchedule:
        """The table that it was trained with."""
        ...

    def __call__(self, x_t: Tensor, t: int) -> Prediction:
        """Predict from x_t (B, C+M, h, w) at level t of `noise`, 1 <= t <= T."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Says of noisy images how likely they are to be of the class that it stands for."""

    def __call__(self, x_t: Tensor, t: int, noise: NoiseSchedule) -> Tensor:
        """log p(y | x_t), (B,), differentiable in x_t (B, C+M, h, w), a state at level t of `noise`, 1 <= t <= T."""
        ...


def attribute(denoiser: Denoiser, name: str, default: Any) -> Any:
    """An attribute that a denoiser may have, or that the one inside of it has."""
    inside: object | None = denoiser
    while inside is not None:
        if hasattr(inside, name):
            return getattr(inside, name)
        inside = getattr(inside, "denoiser", None)
    return default


class Layer(NamedTuple):
    """A region's clean prediction laid on the canvas."""

    image: Tensor
    """(B, C, H, W), zero outside the region."""
    matte: Tensor
    """(B, 1, H, W) in [0, 1], zero outside the region."""


@runtime_checkable
class Region(Protocol):
    """How a model's grid meets the canvas: a box, a rotated box, a strip of a panorama, the latents of a picture.

    It may have more attributes:

    - `encode(picture)`, where the grid is not of pixels: the state (B, C, h, w), without mask, that shows a picture
      (B, K, H, W) of the canvas. Such a region decodes in `lay`; `view` is then asked of weights only. What the others
      see is a whole picture before it is encoded: where the region has a share of its own, the merged canvas has it.
      Both are called from the merging on, and not before.
    - `canvas_spec`, a Spec: size and channels of what it paints, on the canvas; without it, those of its denoiser.
    - `support(size)`: (1, 1, H, W), 1 where the region can be and 0 elsewhere; without it, an opaque prediction is laid
      when the composer is made.
    """

    @property
    def denoiser(self) -> Denoiser: ...

    @property
    def name(self) -> str:
        """Unique in a composition; the region's noise depends on it."""
        ...

    @property
    def z(self) -> int:
        """Height: a higher region occludes a lower one."""
        ...

    @property
    def listen_from(self) -> float | None:
        """The fraction of the denoising from which the region takes in the others; None leaves it to the composer."""
        ...

    def lay(self, clean: Tensor, size: Size) -> Layer:
        """Lay a clean prediction (B, C+M, h, w) on a canvas of this size."""
        ...

    def view(self, canvas: Tensor) -> Tensor:
        """What the region's grid sees of a canvas: (B, K, H, W) -> (B, K, h, w)."""
        ...


class Merged(NamedTuple):
    """What a merge rule makes of the layers."""

    canvas: Tensor
    """(B, C, H, W)"""
    weights: Tensor
    """(N, B, 1, H, W) in [0, 1]: each region's share of each pixel, summing to one over N, zero outside the region."""


class MergeRule(Protocol):
    """Merges clean predictions. Pure: the same layers give the same result and stay as they are.

    At each pixel the canvas lies within the range of the layers that cover it; one with an attribute `repaints = True`
    gives pixels new values, and promises [-1, 1], or the range of all its layers where that is wider.
    """

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        """Merge layers from bottom to top; `progress` in [0, 1] is how far the denoising is, 1 at the clean image."""
        ...


class TimestepSchedule(Protocol):
    """A walk over the levels."""

    def __call__(self, steps: int) -> Sequence[int]:
        """The levels to visit, from `steps` to 0; neighbours differ, down or up, by one level or by more.

        A region's table is that of all `steps` levels; a step that leaves some out goes by their product, as if the
        table had been respaced to the levels that are visited.
        """
        ...


class Earlier(NamedTuple):
    """The descent before this one, for steppers that extrapolate from several predictions."""

    t: int
    """The level from which it went down; above the level of this descent."""
    prediction: Prediction
    """What the region's denoiser said there."""


class Stepper(Protocol):
    """Eq. 10's place: how a region's own state moves down. Pure, as a merge rule is."""

    def __call__(
        self,
        noise: NoiseSchedule,
        x_t: Tensor,
        prediction: Prediction,
        z: Tensor,
        t: int,
        s: int,
        earlier: Earlier | None,
    ) -> Tensor:
        """x_s (B, C+M, h, w), as likely as q(x_s | x_0) makes it; into level 0 the clean prediction itself.

        Args:
            noise: the region's table, respaced to the levels that are walked; t and s are levels of it.
            x_t: (B, C+M, h, w).
            prediction: the denoiser's, of x_t at level t.
            z: standard normal, shaped like x_t, drawn for this step alone; it may be left unused.
            t: the level of x_t, 1..T.
            s: the level to go down to, 0..t-1.
            earlier: the descent that led to level t; None at the start and after a climb.
        """
        ...
