"""Conformance checks: does a plugin keep the promises that the composer builds on?

Inputs are drawn by hypothesis, always the same ones, and shrunk to the simplest that breaks a promise.
"""

import operator
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ..checks import broadcasts
from ..errors import ScheduleError
from ..noise import NoiseSchedule
from ..protocols import Denoiser, Layer, Merged, MergeRule, Prediction, Spec, TimestepSchedule
from ..timesteps import check_walk
from .strategies import Scene, scenes


def check_merge_rule(rule: MergeRule, *, examples: int = 100, device: torch.device | str = "cpu") -> None:
    """Check a merge rule on layers of many kinds.

    Promises: shapes, dtype and device are those of the layers; weights are 0 or more, sum to one at every pixel and
    are zero outside of their regions; the canvas stays within the range of the layers that cover the pixel; samples
    of a batch do not depend on each other; the layers and the global random generators are left alone; the same
    input gives the same result.

    Raises:
        AssertionError: the promise that was broken, and by which input.
    """

    @_drawn(examples)
    @given(scenes(), st.floats(0, 1))
    def promises(scene: Scene, progress: float) -> None:
        about = f"{scene}, progress={progress}"
        layers = scene.layers(device)
        with _pure([tensor for layer in layers for tensor in layer], about):
            merged = rule(layers, progress)
        _check_form(merged, layers, about)
        _check_weights(merged.weights, scene.supports().to(device), about)
        _check_range(merged.canvas, layers, scene.supports().to(device), about)
        _check_repeats(merged, rule(layers, progress), about)
        for b in range(scene.batch):
            alone = rule([Layer(image[b : b + 1], matte[b : b + 1]) for image, matte in layers], progress)
            same = _close(alone.canvas, merged.canvas[b : b + 1])
            _promise(same, f"sample {b} comes out the same alone and in its batch", about)

    promises()


def check_timestep_schedule(schedule: TimestepSchedule, *, examples: int = 100) -> None:
    """Check a timestep schedule for many numbers of steps.

    Promises: a walk is a sequence of whole numbers from `steps` to 0 that moves by one level and stays within; the
    same steps give the same walk; the global random generators are left alone. It may refuse numbers of steps that
    do not suit it with a ScheduleError, but neither 250 nor 1000.

    Raises:
        AssertionError: the promise that was broken, and by which input.
    """

    @_drawn(examples)
    @example(250)
    @example(1000)
    @given(st.integers(1, 300))
    def promises(steps: int) -> None:
        about = f"steps={steps}"
        try:
            with _pure([], about):
                walk = schedule(steps)
        except ScheduleError as error:
            _promise(steps not in (250, 1000), f"250 and 1000 steps can be walked ({error})", about)
            assume(False)
        _promise(isinstance(walk, Sequence), f"a walk is a sequence (this is {type(walk).__name__})", about)
        _promise(all(map(_is_whole, walk)), "levels are whole numbers", about)
        _check_is_walk(walk, steps, about)
        _promise(list(walk) == list(schedule(steps)), "the same steps give the same walk", about)

    promises()


def check_denoiser(
    denoiser: Denoiser, *, examples: int = 10, device: torch.device | str = "cpu", tolerance: float = 1e-4
) -> None:
    """Check a denoiser at its first level, its last one and some between.

    Promises: spec and noise are what they should be; the clean prediction is shaped like the state, floating, finite
    and without gradient; the spread broadcasts to it and is finite; the same input gives the same bits; samples of
    a batch do not depend on each other; the state and the global random generators are left alone.

    Args:
        device: where the denoiser is.
        tolerance: how much a sample may differ alone and in a batch, where sums run in another order.

    Raises:
        AssertionError: the promise that was broken, and by which input.
    """
    _check_description(denoiser)
    spec, last = denoiser.spec, denoiser.noise.steps

    @_drawn(examples)
    @example(last, 2, 0)
    @example(1, 2, 0)
    @given(st.integers(1, last), st.integers(1, 3), st.integers(0, 2**32 - 1))
    def promises(t: int, batch: int, seed: int) -> None:
        about = f"t={t}, batch={batch}, seed={seed}"
        generator = torch.Generator().manual_seed(seed)
        x_t = torch.randn(batch, spec.channels, *spec.size, generator=generator).to(device)
        with _pure([x_t], about):
            prediction = denoiser(x_t, t)
        _check_prediction(prediction, x_t, about)
        _promise(torch.equal(prediction.clean, denoiser(x_t, t).clean), "the same input, the same bits", about)
        for b in range(batch):
            alone = denoiser(x_t[b : b + 1], t).clean
            same = _close(alone, prediction.clean[b : b + 1], tolerance)
            _promise(same, f"sample {b} comes out the same alone and in its batch", about)

    promises()


# ---- promises -------------------------------------------------------------------------------------------------


def _check_form(merged: Merged, layers: Sequence[Layer], about: str) -> None:
    image, matte = layers[0]
    canvas, weights = merged
    shape = len(layers), *matte.shape
    _promise(canvas.shape == image.shape, f"canvas {_shape(canvas)} is shaped {_shape(image)}", about)
    _promise(weights.shape == shape, f"weights {_shape(weights)} are shaped {shape}", about)
    for name, tensor in (("canvas", canvas), ("weights", weights)):
        _promise(tensor.dtype == image.dtype, f"the {name} keep the layers' dtype ({tensor.dtype})", about)
        _promise(tensor.device == image.device, f"the {name} stay on the layers' device", about)
        _promise(bool(torch.isfinite(tensor).all()), f"the {name} are finite", about)


def _check_weights(weights: Tensor, supports: Tensor, about: str) -> None:
    lowest, sums = float(weights.min()), weights.sum(0)
    _promise(lowest >= -1e-6, f"weights are 0 or more (the lowest is {lowest:.4g})", about)
    off = float((sums - 1).abs().max())
    _promise(off <= 1e-5, f"weights sum to one at every pixel (off by {off:.4g})", about)
    outside = (weights * ~supports).abs().amax(dim=(1, 2, 3, 4))
    most, region = float(outside.max()), int(outside.argmax())
    _promise(most <= 1e-6, f"weights are zero outside of their region (region {region} has {most:.4g})", about)


def _check_range(canvas: Tensor, layers: Sequence[Layer], supports: Tensor, about: str) -> None:
    images = torch.stack([layer.image for layer in layers])
    low = images.masked_fill(~supports, torch.inf).amin(0)
    high = images.masked_fill(~supports, -torch.inf).amax(0)
    beyond = float(torch.maximum(low - canvas, canvas - high).max())
    _promise(beyond <= 1e-5, f"the canvas stays within the range of its layers (beyond by {beyond:.4g})", about)


def _check_repeats(first: Merged, second: Merged, about: str) -> None:
    same = all(torch.equal(a, b) for a, b in zip(first, second))
    _promise(same, "the same layers give the same result", about)


def _check_is_walk(walk: Sequence[int], steps: int, about: str) -> None:
    try:
        check_walk(walk, steps)
    except ScheduleError as error:
        raise AssertionError(f"Broken promise: {error} Input: {about}.") from error


def _check_description(denoiser: Denoiser) -> None:
    spec, noise = denoiser.spec, denoiser.noise
    _promise(isinstance(spec, Spec), f"spec is a Spec (it is {spec!r})", "the denoiser")
    _promise(min(spec.size) >= 1 and spec.image_channels >= 1, "size and image channels are positive", f"{spec}")
    _promise(spec.mask_channels in (0, 1), "there are 0 or 1 mask channels", f"{spec}")
    _promise(isinstance(noise, NoiseSchedule), f"noise is a NoiseSchedule (it is {noise!r})", "the denoiser")


def _check_prediction(prediction: Prediction, x_t: Tensor, about: str) -> None:
    clean, spread = prediction
    _promise(clean.shape == x_t.shape, f"clean {_shape(clean)} is shaped {_shape(x_t)}", about)
    _promise(clean.is_floating_point(), f"clean is floating ({clean.dtype})", about)
    _promise(bool(torch.isfinite(clean).all()), "clean is finite", about)
    _promise(not clean.requires_grad, "clean carries no gradient; predict under torch.no_grad()", about)
    if spread is not None:
        _promise(broadcasts(spread, clean), f"spread {_shape(spread)} broadcasts to clean {_shape(clean)}", about)
        _promise(bool(torch.isfinite(spread).all()), "spread is finite", about)


@contextmanager
def _pure(inputs: Sequence[Tensor], about: str) -> Iterator[None]:
    """Promise that what happens inside changes neither these tensors nor a global random generator."""
    before, generators = [tensor.clone() for tensor in inputs], _generators()
    yield
    same = all(torch.equal(old, new) for old, new in zip(before, inputs))
    _promise(same, "the input is left as it was", about)
    changed = [name for name, state in _generators().items() if state != generators[name]]
    _promise(not changed, f"global random generators are left alone (changed: {', '.join(changed)})", about)


# ---- small things ---------------------------------------------------------------------------------------------


def _drawn(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def _promise(kept: bool, promise: str, about: str) -> None:
    if not kept:
        raise AssertionError(f"Broken promise: {promise}. Input: {about}.")


def _generators() -> dict[str, object]:
    numpy = np.random.get_state(legacy=False)
    return {"torch": torch.get_rng_state().tolist(), "random": random.getstate(), "numpy": str(numpy)}


def _is_whole(level: object) -> bool:
    try:
        operator.index(level)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=tolerance, atol=tolerance))


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
