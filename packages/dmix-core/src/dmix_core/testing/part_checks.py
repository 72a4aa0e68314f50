"""Conformance checks: does a part of a composition keep the promises that the composer builds on?

Here are the merge rules, timestep schedules, steppers and exporters; `model_checks` has the denoisers and what goes
with them, `region_checks` the regions.
"""

import operator
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any, cast

import torch
from hypothesis import strategies as st
from torch import Tensor

from ..errors import ScheduleError
from ..exporters import Exporter, RunInfo
from ..geometry import Box
from ..mattes import blend
from ..protocols import Layer, LocalMergeRule, Merged, MergeRule, Prediction, Stepper, TimestepSchedule
from ..sample import Sample
from ..timesteps import check_walk
from .checking import Check, Conformance, Device, Input, Judged, Unanswered, Verdict
from .promises import answered, apart, elsewhere, form, free, purely, repeats
from .strategies import Move, Moved, Scene, moves, scenes

WALKED = (250, 1000)
"""Numbers of steps that every timestep schedule walks."""
PIXELS = (1, 1, 128, 128)
"""The shape of the state whose noise is measured; its variance is then known to 1.1 %."""


@Conformance
def check_merge_rule(rule: MergeRule, *, examples: int = 100, device: Device = "cpu") -> Check:
    """Check a merge rule on layers of many kinds.

    Promises: shapes are those of the layers; weights are 0 or more, sum to one at every pixel and
    are zero outside of their regions; the canvas stays within the range of the layers that cover the pixel, or is these
    by their weights and a `change`, within [-1, 1] and the range of all layers of the sample; a LocalMergeRule gives a
    part of the canvas the same pixels on its own; nothing stays behind on a device that the layers have left.
    """

    def case(scene: Scene, progress: float) -> Input:
        code = (
            "import torch\nfrom dmix_core import Box\nfrom dmix_core.testing import Scene\n"
            f"rule({scene}.layers({str(device)!r}), {progress})"
        )
        return Input((scene, progress), f"{scene}, progress={progress}", code)

    def judge(scene: Scene, progress: float) -> Iterator[Verdict]:
        layers, supports = scene.layers(device), scene.supports().to(device)

        def of(change: Callable[[Tensor], Tensor]) -> Merged:
            return rule(_mapped_layers(layers, change), progress)

        merged = yield from _merged(rule, layers, progress)
        yield from _weights(merged.weights, supports)
        yield from _range(merged, layers, supports)
        if isinstance(rule, LocalMergeRule):
            yield from _locally(rule.reach, of, scene, merged)
        again = yield from answered(rule, layers, progress)
        yield from repeats(merged[:2], again[:2])
        yield from apart(lambda b: of(partial(_sample, b)).canvas, merged.canvas)
        if scene is moved:
            yield from elsewhere(lambda move: of(move)[:2])

    moved = Scene((4, 5), (Box(0, 0, 5, 4), Box(1, 0, 3, 2)), ("opaque", "soft"), batch=2)
    return Check(st.builds(case, scenes(), st.floats(0, 1)), judge, examples, last=[case(moved, 0.5)])


def _mapped_layers(layers: Sequence[Layer], change: Callable[[Tensor], Tensor]) -> list[Layer]:
    return [Layer(*map(change, layer)) for layer in layers]


def _merged(rule: MergeRule, layers: Sequence[Layer], progress: float) -> Judged[Merged]:
    """The rule's answer, of the right form."""
    given = list(layers)
    merged = yield from purely(rule, given, progress)
    untouched = len(given) == len(layers) and all(map(operator.is_, given, layers))
    yield Verdict("the input is left as it was", untouched, "the list of layers is another one")
    image, matte = layers[0]
    yield Verdict("the answer is a Merged", isinstance(merged, Merged), f"it is {type(merged).__name__}")
    shapes = {"canvas": image.shape, "weights": (len(layers), *matte.shape), "change": image.shape}
    for name, tensor in merged._asdict().items():
        if tensor is not None or name != "change":
            yield from form(f"the {name}", tensor, image, shapes[name])
            yield from free(f"the {name}", tensor)
    return merged


def _weights(weights: Tensor, supports: Tensor) -> Iterator[Verdict]:
    lowest, off = float(weights.min()), float((weights.sum(0) - 1).abs().max())
    yield Verdict("weights are 0 or more", lowest >= -1e-6, f"the lowest is {lowest:.4g}")
    yield Verdict("weights sum to one at every pixel", off <= 1e-5, f"off by {off:.4g}")
    outside = (weights * ~supports).abs().amax(dim=(1, 2, 3, 4))
    most, region = float(outside.max()), int(outside.argmax())
    yield Verdict("weights are zero outside of their region", most <= 1e-6, f"region {region} has {most:.4g}")


def _range(merged: Merged, layers: Sequence[Layer], supports: Tensor) -> Iterator[Verdict]:
    canvas, weights, change = merged
    images = torch.stack([layer.image for layer in layers])
    if change is not None:
        off = float((canvas - blend(layers, weights).canvas - change).abs().max())
        yield Verdict("the canvas is the layers by their weights, and the change", off <= 1e-4, f"off by {off:.4g}")
        low, high = images.amin((0, 2, 3, 4)).clamp(max=-1), images.amax((0, 2, 3, 4)).clamp(min=1)
        beyond = float(torch.maximum(low - canvas.amin((1, 2, 3)), canvas.amax((1, 2, 3)) - high).max())
        promise, hint = "the canvas stays within [-1, 1] and the range of the sample's layers", ""
    else:
        low = images.masked_fill(~supports, torch.inf).amin(0)
        high = images.masked_fill(~supports, -torch.inf).amax(0)
        beyond = float(torch.maximum(low - canvas, canvas - high).max())
        promise, hint = "the canvas stays within the range of its layers", "; a rule may return a `change`"
    yield Verdict(promise, beyond <= 1e-5, f"beyond by {beyond:.4g}{hint}")


def _locally(
    reach: object, of: Callable[[Callable[[Tensor], Tensor]], Merged], scene: Scene, merged: Merged
) -> Iterator[Verdict]:
    """On the part around the regions above the bottom one it gives what it gives on the whole canvas."""
    yield Verdict("reach is a whole number, 0 or more", isinstance(reach, int) and reach >= 0)
    if (above := scene.boxes[1:]) and isinstance(reach, int):
        part = reduce(Box.hull, above).grown(reach, scene.size)
        local = yield from answered(of, part.crop)
        same = torch.allclose(local.canvas, part.crop(merged.canvas), rtol=0, atol=1e-6)
        yield Verdict("a local rule gives a part of the canvas the same pixels on its own", same, f"reach={reach}")


# ---- timestep schedules ---------------------------------------------------------------------------------------


@Conformance
def check_timestep_schedule(schedule: TimestepSchedule, *, examples: int = 100) -> Check:
    """Check a timestep schedule for many numbers of steps.

    Promises: a walk is a sequence of whole numbers from `steps` to 0 that moves at each step and stays within. It may
    refuse numbers of steps that do not suit it with a ScheduleError, but neither 250 nor 1000.
    """

    def case(steps: int) -> Input:
        return Input((steps,), f"steps={steps}", f"schedule({steps})")

    def judge(steps: int) -> Iterator[Verdict]:
        walk = yield from purely(_walk_or_none, schedule, steps)
        if steps in WALKED:
            yield Verdict("250 and 1000 steps can be walked", walk is not None, "it raises ScheduleError")
        if walk is not None:
            yield from _is_walk(walk, steps)
            again = yield from answered(schedule, steps)
            yield Verdict("the same steps give the same walk", list(walk) == list(again))

    return Check(st.builds(case, st.integers(1, 300)), judge, examples, list(map(case, WALKED)))


def _walk_or_none(schedule: TimestepSchedule, steps: int) -> Sequence[int] | None:
    try:
        return schedule(steps)
    except ScheduleError:
        return None


def _is_walk(walk: Sequence[int], steps: int) -> Iterator[Verdict]:
    yield Verdict("a walk is a sequence", isinstance(walk, Sequence), f"this is {type(walk).__name__}")
    yield Verdict("levels are whole numbers", all(map(_is_whole, walk)), f"such as {walk[0]!r}" if len(walk) else "")
    promise = "a walk goes from `steps` to 0, moves at each step and stays within"
    try:
        check_walk(walk, steps)
    except ScheduleError as error:
        yield Verdict(promise, False, str(error).rstrip("."), error)
        raise Unanswered from error
    yield Verdict(promise, True)


def _is_whole(level: object) -> bool:
    try:
        operator.index(level)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


# ---- steppers -------------------------------------------------------------------------------------------------


@Conformance
def check_stepper(stepper: Stepper, *, examples: int = 100, device: Device = "cpu") -> Check:
    """Check a stepper on moves between many levels of several tables.

    Promises: the state keeps its shape and stays finite; into level 0 it becomes the clean prediction; where the
    prediction is right, the state has the noise of its level, variance 1 - alpha_bar_s, to 5 %; nothing stays behind on
    a device that the state has left.
    """

    def case(move: Move) -> Input:
        inputs, lines = f"move.inputs({str(device)!r})", ["from dmix_core.testing import Move", f"move = {move}"]
        state = f"stepper.init({inputs}[1])"
        if move.earlier is not None:
            lines.append(f"before = move.inputs_before({str(device)!r})")
            state = "stepper.step(*before, stepper.init(before[1]))[1]"
        return Input((move,), str(move), "\n".join([*lines, f"stepper.step(*{inputs}, {state})"]))

    def judge(move: Move) -> Iterator[Verdict]:
        given, before = move.inputs(device), move.inputs_before(device)

        def remembered(change: Callable[[Tensor], Tensor]) -> Any:
            """What it remembers before the move, with every tensor that it is given changed."""
            state = stepper.init(change((before or given)[1]))
            return stepper.step(*_mapped(before, change), state)[1] if before else state

        def stepped(change: Callable[[Tensor], Tensor]) -> Tensor:
            """Where it moves, with every tensor that it is given changed."""
            return stepper.step(*_mapped(given, change), remembered(change))[0]

        state = yield from answered(remembered, torch.clone)
        _, x_t, prediction, *_ = given
        answer = yield from purely(stepper.step, *given, state)
        yield Verdict("the answer is x_s and a state", isinstance(answer, tuple) and len(answer) == 2)
        x_s, _ = answer
        yield from form("the state", x_s, x_t, x_t.shape)
        yield from free("the state", x_s)
        if move.s == 0:
            close = torch.allclose(x_s, prediction.clean, rtol=1e-4, atol=1e-4)
            yield Verdict("into level 0 the state becomes the clean prediction", close)
        else:
            yield from _noise(stepper, move, device)
        again = yield from answered(stepped, torch.clone)
        yield from repeats([x_s], [again])
        yield from apart(lambda b: stepped(partial(_sample, b)), x_s)
        if move in moved:
            yield from elsewhere(lambda there: [stepped(there)])

    moved = [Move(10, t, s, before, spread=True) for t, s, before in ((10, 9, None), (6, 3, 9))]
    return Check(st.builds(case, moves()), judge, examples, last=list(map(case, moved)))


def _noise(stepper: Stepper, move: Move, device: Device) -> Iterator[Verdict]:
    """A state around zero, which the denoiser is sure of, has the variance of level s."""
    generator = torch.Generator().manual_seed(move.seed)
    eps, z = torch.randn(2, *PIXELS, generator=generator).to(device)
    noise, sure = move.noise, Prediction(torch.zeros_like(eps))
    state = stepper.init(eps)
    if move.earlier is not None:
        x_u = noise.diffuse(sure.clean, 0, move.earlier, eps)
        _, state = yield from answered(stepper.step, noise, x_u, sure, z, move.earlier, move.t, state)
    x_t = noise.diffuse(sure.clean, 0, move.t, eps)
    x_s, _ = yield from answered(stepper.step, noise, x_t, sure, z, move.t, move.s, state)
    ratio = float(x_s.var()) / (1 - float(noise.alpha_bar[move.s]))
    promise = "where the prediction is right, the state has the noise of its level"
    yield Verdict(promise, 0.95 <= ratio <= 1.05, f"{ratio:.3g} times its variance")


def _sample(b: int, batch: Tensor) -> Tensor:
    return batch[b : b + 1]


def _mapped(given: Moved, change: Callable[[Tensor], Tensor]) -> Moved:
    """A stepper's arguments with every tensor changed; the table of noise is none of them."""
    noise, x_t, (clean, spread), z, t, s = given
    prediction = Prediction(change(clean), None if spread is None else change(spread))
    return noise, change(x_t), prediction, change(z), t, s


# ---- exporters ------------------------------------------------------------------------------------------------

NAMES = ("background", "blowhole", "crack 2", "Öse/links", "..")
"""Names that regions may have."""


@Conformance
def check_exporter(exporter: Exporter, *, examples: int = 20) -> Check:
    """Check an exporter on the samples of runs of many kinds, each into an empty folder of its own.

    Promises: its writer returns the paths of what it wrote, files inside the folder, and wrote nothing else there; the
    same samples give the same bytes.
    """

    def case(scene: Scene) -> Input:
        names = NAMES[: len(scene.boxes)]
        code = (
            "import tempfile, torch\nfrom pathlib import Path\nfrom dmix_core import Box\n"
            f"from dmix_core.testing import Scene\nscene = {scene}\n"
            f"with exporter.open(Path(tempfile.mkdtemp()), scene.run({names})) as writer:\n"
            f"    for sample in scene.samples({names}):\n        print(writer.add(sample))"
        )
        return Input((scene, names), f"the samples of {scene}", code)

    def judge(scene: Scene, names: Sequence[str]) -> Iterator[Verdict]:
        samples, run = scene.samples(names), scene.run(names)
        first = yield from _exported(exporter, samples, run)
        yield Verdict("the run is left as it was", run == scene.run(names))
        again = yield from _exported(exporter, samples, run)
        different = sorted(name for name in first.keys() | again.keys() if first.get(name) != again.get(name))
        yield Verdict("the same samples give the same bytes", not different, ", ".join(different))

    return Check(st.builds(case, scenes(dtypes=[torch.float32])), judge, examples)


def _exported(exporter: Exporter, samples: Sequence[Sample], run: RunInfo) -> Judged[dict[str, bytes]]:
    """The files that it wrote, by their paths in the folder."""

    def write(samples: Sequence[Sample]) -> list[object]:
        writer = exporter.open(folder, run)
        answers: list[object] = [writer.add(sample) for sample in samples]
        return [*answers, writer.close()]

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve() / "export"
        folder.mkdir()
        answers = yield from purely(write, samples)
        strange = [answer for answer in answers if not _is_paths(answer)]
        yield Verdict("`add` and `close` return sequences of paths", not strange, f"such as {strange[:1]}")
        if strange:
            raise Unanswered
        returned = {Path(folder, path).resolve() for paths in answers for path in cast(Sequence[Path], paths)}
        written = {path for path in Path(temporary).resolve().rglob("*") if path.is_file()}
        yield Verdict("it writes at least one file", bool(written))
        astray = [path.name for path in written | returned if not path.is_relative_to(folder)]
        yield Verdict("it writes inside its folder", not astray, ", ".join(astray))
        missing = [path.name for path in returned - written]
        yield Verdict("the paths that it returns are files", not missing, ", ".join(missing))
        silent = [path.name for path in written - returned]
        yield Verdict("it returns every path that it wrote", not silent, ", ".join(silent))
        return {str(path.relative_to(folder)): path.read_bytes() for path in written}


def _is_paths(answer: object) -> bool:
    return isinstance(answer, Sequence) and all(isinstance(path, Path) for path in answer)
