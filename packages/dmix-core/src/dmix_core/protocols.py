"""The vocabulary: what a denoiser, a region, a merge rule, a stepper and a timestep schedule are.

Shapes: B batch, C image channels, M mask channels (0 or 1), h w a model's grid, H W the canvas, N regions from bottom
to top. Images are in [-1, 1], mattes and weights in [0, 1]. Levels run from T (noise) to 0 (clean).
"""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from .geometry import Box
from .geometry import Size as Size
from .noise import NoiseSchedule


@runtime_checkable
class Codec(Protocol):
    """Turns latents into pictures and back, for denoisers whose grid is not of pixels."""

    @property
    def channels(self) -> int:
        """C of the pictures."""
        ...

    def size(self, grid: Size) -> Size:
        """(height, width) in pixels of the picture that a grid of latents decodes to."""
        ...

    def decode(self, clean: Tensor) -> Tensor:
        """Clean latents, with their mask channel if they have one, as pictures with theirs, without gradient."""
        ...

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of that size as latents, without a mask channel and without gradient."""
        ...


class Spec(NamedTuple):
    """What a denoiser paints: its grid, its channels, and what is known of all that it paints."""

    size: Size
    image_channels: int = 3
    mask_channels: int = 0
    still: bool = False
    """The prediction depends neither on the state nor on the level; the composer then draws no noise for it, asks for
    it once, and keeps the clean image as its state."""
    grey: bool = False
    """All that it paints may be written as grey."""
    codec: Codec | None = None
    """How its pictures are made, where its grid is not of pixels."""
    empty: bool = False
    """It paints no object, and its masks are empty: it can be composed at the bottom alone."""

    @property
    def channels(self) -> int:
        """C + M, the channels of the denoiser's state."""
        return self.image_channels + self.mask_channels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C + M, h, w) of one sample's state."""
        return self.channels, *self.size

    @property
    def picture(self) -> "Spec":
        """What it paints in pixels: itself, or what its latents are decoded to."""
        if self.codec is None:
            return self
        return self._replace(size=self.codec.size(self.size), image_channels=self.codec.channels, codec=None)

    def decoded(self, clean: Tensor) -> Tensor:
        """A clean prediction (B, C+M, h, w) as pixels (B, K+M, H, W), which a grid of pixels is already."""
        return clean if self.codec is None else self.codec.decode(clean)


class Prediction(NamedTuple):
    """What a denoiser predicts from a state."""

    clean: Tensor
    """x0-hat, (B, C+M, h, w) in about [-1, 1]."""
    spread: Tensor | None = None
    """Learned variance, broadcastable to `clean`: about 0 (beta-tilde) to 1 (beta), and a network may predict a little
    more or less; None means beta-tilde."""


@runtime_checkable
class Denoiser(Protocol):
    """Predicts which clean image a noisy one came from; `Wrapper` is the base class of those around another one."""

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
class BatchedDenoiser(Denoiser, Protocol):
    """A denoiser that can run as one batch with others of its family, such as the classes of one network."""

    @property
    def family(self) -> Hashable:
        """Equal for denoisers of one spec and table that one call can serve."""
        ...

    def joined(self, members: Sequence[Any]) -> Denoiser:
        """The denoiser of a batch in equal parts, one for each of these members of its family, in their order."""
        ...


@runtime_checkable
class StatefulDenoiser(Denoiser, Protocol):
    """A denoiser that carries a state along a descent, such as evidence that it gathers step by step.

    `step` takes the place of the call. A state is never changed in place; each sample's part of it depends on that
    sample alone.
    """

    def init(self, x_t: Tensor) -> Any:
        """The state before the first step from x_t (B, C+M, h, w): at the start of the walk and after each climb."""
        ...

    def step(self, x_t: Tensor, t: int, state: Any) -> tuple[Prediction, Any]:
        """The prediction from x_t at level t, and the state for the next level below."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Predicts how likely noisy images are to be of the class that it stands for."""

    def __call__(self, x_t: Tensor, t: int, noise: NoiseSchedule) -> Tensor:
        """log p(y | x_t), (B,), differentiable in x_t (B, C+M, h, w), a state at level t of `noise`, 1 <= t <= T."""
        ...


class Layer(NamedTuple):
    """A clean prediction laid on the canvas, or on a part of it."""

    image: Tensor
    """(B, C, H, W), zero outside the region."""
    matte: Tensor
    """(B, 1, H, W) in [0, 1], zero outside the region."""


@runtime_checkable
class Region(Protocol):
    """How a model's pictures meet the canvas: a box, a rotated box, a strip of a panorama.

    A region knows pixels only: where its denoiser's spec has a codec, the composer decodes before it lays and encodes
    what it has viewed.
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

    @property
    def place(self) -> Box:
        """The smallest part of the canvas that holds all of the region."""
        ...

    def lay(self, clean: Tensor) -> Layer:
        """Lay a clean prediction in pixels (B, C+M, h, w) on the region's place, (B, C, *place.size)."""
        ...

    def view(self, patch: Tensor, size: Size | None = None) -> Tensor:
        """What is seen of the place, (B, K, *place.size) -> (B, K, *size); None: the size of the denoiser's grid."""
        ...


class Merged(NamedTuple):
    """What a merge rule makes of the layers."""

    canvas: Tensor
    """(B, C, H, W)"""
    weights: Tensor
    """(N, B, 1, H, W) in [0, 1]: each region's share of each pixel, summing to one over N, zero outside the region."""
    change: Tensor | None = None
    """(B, C, H, W), what the canvas has beyond the layers by their weights, from a rule that gives pixels new values;
    every region then steps towards its own image with this change. None: nothing."""


@runtime_checkable
class MergeRule(Protocol):
    """Merges clean predictions. Pure: the same layers give the same result and stay as they are.

    At each pixel the canvas lies within the range of the layers that cover it; with a `change` it may leave that, and
    lies within [-1, 1], or the range of all its layers where that is wider.
    """

    def __call__(self, layers: Sequence[Layer], progress: float) -> Merged:
        """Merge layers from bottom to top; `progress` in [0, 1] is how far the denoising is, 1 at the clean image."""
        ...


@runtime_checkable
class LocalMergeRule(MergeRule, Protocol):
    """A merge rule that can merge a part of the canvas on its own, and so costs as much as that part.

    The part holds all of each region above the bottom one that has pixels in it, and `reach` pixels around them, as far
    as the canvas goes. The rule gives it the same pixels as in the whole canvas. Other rules get the whole canvas.
    """

    @property
    def reach(self) -> int:
        """How many pixels around a region the result depends on, 0 or more."""
        ...


class TimestepSchedule(Protocol):
    """A walk over the levels."""

    def __call__(self, steps: int) -> Sequence[int]:
        """The levels to visit, from `steps` to 0; neighbours differ, down or up, by one level or by more.

        A region's table is that of all `steps` levels; a step that leaves some out goes by their product, as if the
        table had been respaced to the levels that are visited.
        """
        ...


@runtime_checkable
class Stepper(Protocol):
    """Eq. 10's place: how a region's own state moves down. Pure, as a merge rule is.

    What a stepper remembers, such as earlier predictions, it returns as its state and gets back at the next step.
    """

    def init(self, x_t: Tensor) -> Any:
        """The state before the first step from x_t (B, C+M, h, w): at the start of the walk and after each climb."""
        ...

    def step(
        self, noise: NoiseSchedule, x_t: Tensor, prediction: Prediction, z: Tensor, t: int, s: int, state: Any
    ) -> tuple[Tensor, Any]:
        """x_s (B, C+M, h, w), as likely as q(x_s | x_0) makes it, and the next state.

        Into level 0, x_s is the clean prediction itself.

        Args:
            noise: the region's table, respaced to the levels that are walked; t and s are levels of it.
            x_t: (B, C+M, h, w).
            prediction: the denoiser's, of x_t at level t.
            z: standard normal, shaped like x_t, drawn for this step alone; it may be left unused.
            t: the level of x_t, 1..T.
            s: the level to go down to, 0..t-1.
            state: what `init` or the step before returned; never changed in place.
        """
        ...
