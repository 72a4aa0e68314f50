"""The conformance kit: good parts pass, and each promise has an offender, whose report shows how to see it again."""

import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import (
    Ancestral,
    Box,
    BoxRegion,
    Descent,
    ExportWriter,
    HardMask,
    Layer,
    Merged,
    NoiseSchedule,
    Prediction,
    Spec,
    StillImage,
    TailResampling,
)
from dmix_core.errors import ScheduleError
from dmix_core.mattes import blend, stack
from dmix_core.output import Pictures
from dmix_core.testing import (
    BrokenPromise,
    ConstantDenoiser,
    GaussianDenoiser,
    boxes,
    check_classifier,
    check_denoiser,
    check_exporter,
    check_merge_rule,
    check_region,
    check_stepper,
    check_timestep_schedule,
    check_wrapper,
    layers,
    moves,
    noise_schedules,
    scenes,
    walks,
)
from dmix_core.timesteps import check_walk


class Counting:
    """Calls a function with how often it has been called."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *given):
        self.calls += 1
        return self.function(self.calls, *given)


def draws(draw, function):
    def drawing(*given):
        draw()
        return function(*given)

    return drawing


def raises(*given):
    raise KeyError("no such thing")


# ---- merge rules ----------------------------------------------------------------------------------------------


def honest(layers, progress=0):
    return blend(layers, stack([layer.matte for layer in layers]))


def average(layers, progress):
    covers = torch.stack([(layer.matte > 0).to(layer.matte.dtype) for layer in layers])
    covers[0] = 1
    return blend(layers, covers / covers.sum(0))


def stretched(layers, progress):
    merged = honest(layers)
    return Merged((merged.canvas * 1.2).clamp(-1, 1), merged.weights)


class Repaints:
    """Values that no layer has at the pixel, between -1 and 1."""

    gain = 1.2

    def __call__(self, layers, progress):
        canvas, weights, _ = honest(layers)
        repainted = (canvas * self.gain).clamp(-1, 1) if self.gain < 2 else canvas * self.gain
        return Merged(repainted, weights, repainted - canvas)


class RepaintsTooFar(Repaints):
    gain = 2


class Misstated(Repaints):
    def __call__(self, layers, progress):
        return super().__call__(layers, progress)._replace(change=torch.zeros_like(layers[0].image))


@dataclass
class Blurred:
    """A rule whose edges depend on what lies next to them, further than it states."""

    reach: object = 0

    def __call__(self, layers, progress):
        mattes = [
            F.avg_pool2d(layer.matte, 3, stride=1, padding=1, count_include_pad=False) * (layer.matte > 0)
            for layer in layers
        ]
        return blend(layers, stack(mattes))


def returning(canvas=lambda canvas: canvas, weights=lambda weights: weights):
    """A rule whose honest answer is changed."""

    def rule(layers, progress):
        merged = honest(layers)
        return Merged(canvas(merged.canvas), weights(merged.weights))

    return rule


def negative(layers, progress):
    merged = honest(layers)
    push = torch.full_like(merged.weights, 0.5)
    push[1:] = -0.5 / max(len(layers) - 1, 1)
    return Merged(merged.canvas, merged.weights + push) if len(layers) > 1 else merged


def leaks(layers, progress):
    return blend(layers, torch.full_like(torch.stack([layer.matte for layer in layers]), 1 / len(layers)))


def scribbles(layers, progress):
    layers[0].image.mul_(0.5)
    return honest(layers)


def takes_away(layers, progress):
    merged = honest(layers)
    layers.pop()
    return merged


def mixes_samples(layers, progress):
    return honest([Layer(i, m.mean(0, keepdim=True).expand_as(m)) for i, m in layers])


def stays_at_home(layers, progress):
    height, width = layers[0].image.shape[2:]
    return honest([Layer(i, m * torch.ones(height, width)) for i, m in layers])


def hands_back(layers, progress):
    canvas, weights, _ = honest(layers)
    return Merged(canvas if canvas.device.type == "cpu" else torch.zeros(canvas.shape), weights)


def of_grad(tensor):
    return tensor * torch.ones(1, dtype=tensor.dtype, requires_grad=True)


def changes(change):
    """A rule that repaints, whose change is another one."""

    def rule(layers, progress):
        merged = Repaints()(layers, progress)
        return merged._replace(change=change(merged.change))

    return rule


SOFTER = Counting(lambda calls, layers, progress: honest([Layer(i, m / calls) for i, m in layers]))
RULES = [
    ("it answers without an error", raises),
    ("the input is left as it was", scribbles),
    ("the input is left as it was", takes_away),
    ("global random generators are left alone", draws(random.random, honest)),
    ("global random generators are left alone", draws(np.random.random, honest)),
    ("global random generators are left alone", draws(lambda: torch.rand(1), honest)),
    ("the answer is a Merged", lambda layers, progress: tuple(honest(layers))),
    ("the canvas: a tensor", returning(canvas=lambda canvas: canvas.numpy())),
    ("the canvas: the right shape", returning(canvas=lambda canvas: canvas[0])),
    ("the canvas: the input's dtype", returning(canvas=lambda canvas: canvas.half())),
    ("the canvas: the input's device", returning(canvas=lambda canvas: canvas.to("meta"))),
    ("the canvas: neither NaN nor infinity", returning(canvas=lambda canvas: canvas / 0 * 0)),
    ("the canvas: no gradient", returning(canvas=of_grad)),
    ("the weights: a tensor", returning(weights=list)),
    ("the weights: the right shape", returning(weights=lambda weights: weights[:, :, 0])),
    ("the weights: the input's dtype", returning(weights=lambda weights: weights.half())),
    ("the weights: the input's device", returning(weights=lambda weights: weights.to("meta"))),
    ("the weights: neither NaN nor infinity", returning(weights=lambda weights: weights / 0)),
    ("the weights: no gradient", returning(weights=of_grad)),
    ("weights are 0 or more", negative),
    ("weights sum to one at every pixel", returning(weights=lambda weights: weights * 1.01)),
    ("weights are zero outside of their region", leaks),
    ("the canvas stays within the range of its layers", returning(canvas=lambda canvas: canvas + 0.01)),
    ("the canvas stays within [-1, 1] and the range of the sample's layers", RepaintsTooFar()),
    ("the canvas is the layers by their weights, and the change", Misstated()),
    *(
        (f"the change: {promise}", changes(change))
        for promise, change in [
            ("a tensor", lambda change: change.numpy()),
            ("the right shape", lambda change: change[0]),
            ("the input's dtype", lambda change: change.half()),
            ("the input's device", lambda change: change.to("meta")),
            ("neither NaN nor infinity", lambda change: change / 0),
            ("no gradient", of_grad),
        ]
    ),
    ("reach is a whole number, 0 or more", Blurred(reach=-1)),
    ("a local rule gives a part of the canvas the same pixels on its own", Blurred()),
    ("the same input gives the same bits", SOFTER),
    ("a sample comes out the same alone and in its batch", mixes_samples),
    ("the answer follows its input to another device", stays_at_home),
    ("the answer follows its input to another device", hands_back),
]


@pytest.mark.parametrize("rule", [HardMask(), HardMask(0.01), honest, average, Repaints()])
def test_good_merge_rules_pass(rule):
    check_merge_rule(rule, examples=20)


def test_what_repaints_says_so():
    with pytest.raises(BrokenPromise, match="the canvas stays within the range of its layers"):
        check_merge_rule(stretched)


# ---- timestep schedules ---------------------------------------------------------------------------------------


def needs_ten(steps):
    if steps < 10:
        raise ScheduleError("ten steps at least")
    return range(steps, -1, -1)


def by_threes(steps):
    return [*range(steps, 0, -3), 0]


def refuses_all(steps):
    raise ScheduleError("not today")


def moody(calls, steps):
    return TailResampling(1, calls % 2)(steps)


SCHEDULES = [
    ("it answers without an error", raises),
    ("global random generators are left alone", lambda steps: TailResampling(1, random.randrange(9))(steps)),
    ("250 and 1000 steps can be walked", refuses_all),
    ("a walk is a sequence", lambda steps: iter(range(steps, -1, -1))),
    ("levels are whole numbers", lambda steps: [float(t) for t in range(steps, -1, -1)]),
    ("a walk goes from `steps` to 0, moves at each step and stays within", lambda steps: [*range(steps, 0, -1)]),
    ("a walk goes from `steps` to 0, moves at each step and stays within", lambda steps: range(steps - 1, -1, -1)),
    ("a walk goes from `steps` to 0, moves at each step and stays within", lambda steps: [steps, steps, 0]),
    ("a walk goes from `steps` to 0, moves at each step and stays within", lambda steps: [steps, -1, 0]),
    ("the same steps give the same walk", Counting(moody)),
]


@pytest.mark.parametrize("schedule", [Descent(), TailResampling(), TailResampling(1, 0), needs_ten, by_threes])
def test_good_timestep_schedules_pass(schedule):
    check_timestep_schedule(schedule, examples=30)


# ---- steppers -------------------------------------------------------------------------------------------------


def ddim(noise, x_t, prediction, z, t, s, state):
    """DDIM with eta = 0 (Song et al. 2021, eq. 12)."""
    a_t, a_s = (float(noise.alpha_bar[level]) for level in (t, s))
    eps = (x_t - a_t**0.5 * prediction.clean) / (1 - a_t) ** 0.5
    return a_s**0.5 * prediction.clean + (1 - a_s) ** 0.5 * eps


class Stepping:
    """A stepper that moves by a function and remembers its last prediction."""

    def __init__(self, move):
        self.move = move

    def init(self, x_t):
        return None

    def step(self, noise, x_t, prediction, *rest):
        return self.move(noise, x_t, prediction, *rest), prediction.clean


noiseless = Stepping(ddim)


def steps_to(change):
    """A stepper whose next state is changed."""
    return Stepping(lambda *given: change(ddim(*given)))


@Stepping
def eats_the_noise(noise, x_t, prediction, z, t, s, state):
    z.zero_()
    return ddim(noise, x_t, prediction, z, t, s, state)


@Stepping
def forgets(noise, x_t, prediction, z, t, s, state):
    if state is not None:
        state.zero_()
    return ddim(noise, x_t, prediction, z, t, s, state)


@Stepping
def at_home(noise, x_t, prediction, z, t, s, state):
    return ddim(noise, x_t * torch.ones(x_t.shape[3]), prediction, z, t, s, state)


@Stepping
def restless(noise, x_t, prediction, z, t, s, state):
    return ddim(noise, x_t, prediction, z, t, s, state) + (0.01 * z if s == 0 else 0)


@Stepping
def mixes_states(noise, x_t, prediction, z, t, s, state):
    return ddim(noise, x_t + 0.1 * (x_t - x_t.mean(0)), prediction, z, t, s, state)


@Stepping
def quiet(noise, x_t, prediction, z, t, s, state):
    return float(noise.alpha_bar[s]) ** 0.5 * prediction.clean


class StatesOnly(Stepping):
    def step(self, *given):
        return super().step(*given)[0]


STEPPERS = [
    ("it answers without an error", Stepping(raises)),
    ("the answer is x_s and a state", StatesOnly(ddim)),
    ("the input is left as it was", eats_the_noise),
    ("the input is left as it was", forgets),
    ("global random generators are left alone", Stepping(draws(lambda: torch.randn(1), ddim))),
    ("the state: a tensor", steps_to(lambda state: None)),
    ("the state: the right shape", steps_to(lambda state: state[:1, :1])),
    ("the state: the input's dtype", steps_to(lambda state: state.double())),
    ("the state: the input's device", steps_to(lambda state: state.to("meta"))),
    ("the state: neither NaN nor infinity", steps_to(lambda state: state / 0)),
    ("the state: no gradient", steps_to(of_grad)),
    ("into level 0 the state becomes the clean prediction", restless),
    ("where the prediction is right, the state has the noise of its level", quiet),
    ("the same input gives the same bits", Stepping(Counting(lambda calls, *given: ddim(*given) * (1 + 1e-6 * calls)))),
    ("a sample comes out the same alone and in its batch", mixes_states),
    ("the answer follows its input to another device", at_home),
]


@pytest.mark.parametrize("stepper", [Ancestral(), noiseless])
def test_good_steppers_pass(stepper):
    check_stepper(stepper, examples=50)


# ---- exporters ------------------------------------------------------------------------------------------------


@dataclass
class Listing:
    """An exporter whose files are written by `write(folder, run, samples)`, once all samples are there."""

    write: object

    def open(self, folder, run):
        return ListingWriter(self.write, folder, run)


class ListingWriter(ExportWriter):
    def __init__(self, write, folder, run):
        self.write, self.folder, self.run, self.samples = write, folder, run, []

    def add(self, sample):
        self.samples.append(sample)
        return []

    def close(self):
        return self.write(self.folder, self.run, self.samples)


def listed(folder, run, samples):
    path = folder / "list.txt"
    path.write_text(f"{len(samples)} images, seed {run.recipe['seed']}")
    return [path]


def changes_the_recipe(folder, run, samples):
    run.recipe["regions"].pop()
    return listed(folder, run, samples)


def paints(folder, run, samples):
    samples[0].image.zero_()
    return listed(folder, run, samples)


def strays(folder, run, samples):
    path = folder.parent / "list.txt"
    path.write_text("elsewhere")
    return [path]


def dated(calls, folder, run, samples):
    (folder / "list.txt").write_text(str(calls))
    return [folder / "list.txt"]


EXPORTERS = [
    ("it answers without an error", Listing(raises)),
    ("the input is left as it was", Listing(paints)),
    ("global random generators are left alone", Listing(draws(random.random, listed))),
    ("`add` and `close` return sequences of paths", Listing(lambda *given: str(listed(*given)[0]))),
    ("it writes at least one file", Listing(lambda *given: [])),
    ("it writes inside its folder", Listing(strays)),
    ("the paths that it returns are files", Listing(lambda f, *given: [*listed(f, *given), f / "absent.txt"])),
    ("it returns every path that it wrote", Listing(lambda *given: listed(*given)[:0])),
    ("the run is left as it was", Listing(changes_the_recipe)),
    ("the same samples give the same bytes", Listing(Counting(dated))),
]


def test_a_good_exporter_passes():
    check_exporter(Listing(listed), examples=10)
    check_exporter(Pictures(), examples=5)


# ---- denoisers ------------------------------------------------------------------------------------------------

SPEC = Spec((6, 5), 3, 1)


@dataclass(eq=False)
class Saying:
    """A denoiser whose answer is made by `say(x_t, t)`."""

    say: object = lambda x_t, t: Prediction(x_t)
    spec: Spec = SPEC
    noise: NoiseSchedule = field(default_factory=NoiseSchedule.linear)

    def __call__(self, x_t, t):
        return self.say(x_t, t)


def cleanly(change, **more):
    """A denoiser whose clean image is made of the state."""
    return Saying(lambda x_t, t: Prediction(change(x_t)), **more)


def spreading(change):
    return Saying(lambda x_t, t: Prediction(x_t, change(x_t)))


def no_inference(x_t):
    if torch.is_inference_mode_enabled():
        return torch.zeros_like(x_t)
    return x_t


@dataclass(eq=False)
class Related(Saying):
    """One of a family, whose joint answer is made by `jointly(x_t)`."""

    jointly: object = lambda x_t: x_t
    family: object = "the family"

    def joined(self, members):
        return cleanly(self.jointly)


@dataclass(eq=False)
class Gathering(Saying):
    """Its prediction is the mean of the states so far, with what `mix` does to them."""

    mix: object = lambda x: x

    def init(self, x_t):
        return (torch.zeros_like(x_t), 0)

    def step(self, x_t, t, state):
        total, count = state
        state = total + self.mix(x_t), count + 1
        return Prediction(state[0] / state[1]), state


class Overwriting(Gathering):
    def step(self, x_t, t, state):
        state[0].add_(x_t)
        return Prediction(state[0].clone()), state


STILL = StillImage(torch.zeros(1, 4, 4))
COUNTS = Counting(lambda calls, x_t, t: Prediction(x_t + calls % 9))
PREDICTING = [
    ("it answers without an error", Saying(raises)),
    ("the input is left as it was", cleanly(lambda x: x.mul_(0.5))),
    ("global random generators are left alone", cleanly(lambda x: x + torch.randn(1))),
    ("the answer is a Prediction", Saying(lambda x_t, t: x_t)),
    ("the clean image: a tensor", cleanly(lambda x: x.numpy())),
    ("the clean image: the right shape", cleanly(lambda x: x[:, :2])),
    ("the clean image: the input's dtype", cleanly(lambda x: x.bfloat16())),
    ("the clean image: the input's device", cleanly(lambda x: x.to("meta"))),
    ("the clean image: neither NaN nor infinity", Saying(lambda x_t, t: Prediction(x_t / (1000 - t)))),
    ("the clean image: no gradient", cleanly(of_grad)),
    ("the clean image: within the limit", cleanly(lambda x: 127.5 * x)),
    ("the spread broadcasts to the clean image", spreading(lambda x: x[:, :, :3, :3])),
    ("the spread: a tensor", spreading(lambda x: 0.5)),
    ("the spread: the input's dtype", spreading(lambda x: x.bfloat16())),
    ("the spread: the input's device", spreading(lambda x: x.to("meta"))),
    ("the spread: neither NaN nor infinity", spreading(lambda x: x * torch.nan)),
    ("the spread: no gradient", spreading(of_grad)),
    ("the spread: within the limit", spreading(lambda x: 127.5 * x)),
    ("the same input gives the same bits", Saying(COUNTS)),
    ("it predicts the same under torch.inference_mode()", cleanly(no_inference)),
    ("a sample comes out the same alone and in its batch", cleanly(lambda x: x - x.mean())),
    ("a still one predicts the same from every state", Saying(spec=SPEC._replace(still=True))),
    ("the input is left as it was", Overwriting()),
    ("a sample comes out the same alone and in its batch", Gathering(mix=lambda x: x - x.mean())),
    ("its family is hashable", Related(family=[])),
    ("joined with its family, each predicts of its part what it does alone", Related(jointly=lambda x: x + 0.1)),
]
DENOISERS = [
    *PREDICTING,
    ("spec is a Spec", Saying(spec=(6, 5))),
    ("noise is a NoiseSchedule", Saying(noise=torch.ones(9))),
    ("size and image channels are positive", Saying(spec=Spec((0, 5)))),
    ("there are 0 or 1 mask channels", Saying(spec=Spec((6, 5), 3, 2))),
]


@pytest.mark.parametrize(
    "denoiser",
    [
        GaussianDenoiser(SPEC, 0.2, 0.5),
        GaussianDenoiser(SPEC, torch.rand(4, 1, 1), 0.0, NoiseSchedule.cosine(40)),
        ConstantDenoiser(torch.zeros(4, 6, 5), mask_channels=1),
        spreading(lambda x: x.new_ones(())),
        STILL,
        Related(),
    ],
    ids=lambda denoiser: type(denoiser).__name__,
)
def test_good_denoisers_pass(denoiser):
    check_denoiser(denoiser)


def test_a_network_that_does_not_clip_has_a_limit_of_its_own():
    check_denoiser(cleanly(lambda x: 5 * x), limit=50)


# ---- wrappers -------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Wrapped:
    """The same, changed."""

    denoiser: object
    change: object = lambda prediction: prediction

    def __post_init__(self):
        self.spec, self.noise = self.denoiser.spec, self.denoiser.noise

    def __call__(self, x_t, t):
        return self.change(self.denoiser(x_t, t))


def darker(prediction):
    return Prediction(prediction.clean - 0.1)


def with_other(denoiser, **other):
    wrapped = Wrapped(denoiser)
    vars(wrapped).update(other)
    return wrapped


def spoils(denoiser):
    object.__setattr__(denoiser, "sd", denoiser.sd + 0.1)
    return Wrapped(denoiser)


def cools(denoiser):
    denoiser.mean.sub_(0.1)
    return Wrapped(denoiser)


def blackens(denoiser):
    denoiser.image.fill_(-1)
    return Wrapped(denoiser)


def broken_inside(denoiser):
    """A wrapper that makes this broken one, with what it wraps inside."""

    def wrap(inside):
        wrapped = replace(denoiser, spec=inside.spec._replace(still=denoiser.spec.still))
        wrapped.denoiser = inside
        return wrapped

    return wrap


WRAPPERS = [
    *((promise, broken_inside(denoiser)) for promise, denoiser in PREDICTING[3:]),
    ("it answers without an error", raises),
    ("the input is left as it was", cools),
    ("global random generators are left alone", draws(random.random, Wrapped)),
    ("spec is a Spec", lambda inside: Saying(spec=(6, 5))),
    ("noise is a NoiseSchedule", lambda inside: Saying(noise=torch.ones(9))),
    ("size and image channels are positive", lambda inside: Saying(spec=Spec((0, 5)))),
    ("there are 0 or 1 mask channels", lambda inside: Saying(spec=Spec((6, 5), 3, 2))),
    ("it keeps the denoiser inside as its attribute `denoiser`", lambda inside: Saying()),
    ("it keeps the channels of the denoiser inside", lambda inside: with_other(inside, spec=Spec((6, 5), 1))),
    ("it keeps the noise table of the denoiser inside", lambda inside: with_other(inside, noise=COSINE)),
    ("the denoiser inside predicts the same after as before", spoils),
]
COSINE = NoiseSchedule.cosine()


@pytest.mark.parametrize("inside", [None, GaussianDenoiser(SPEC), STILL], ids=["closed form", "with mask", "still"])
def test_good_wrappers_pass(inside):
    check_wrapper(partial(Wrapped, change=darker), inside)


@dataclass(frozen=True, eq=False)
class Doubled:
    """Paints twice the width: what the denoiser inside predicts of either half."""

    denoiser: object
    gain: float = 1.0

    @property
    def spec(self):
        return self.denoiser.spec._replace(size=(6, 10))

    @property
    def noise(self):
        return self.denoiser.noise

    def __call__(self, x_t, t):
        return Prediction(self.gain * torch.cat([self.denoiser(x, t).clean for x in x_t.chunk(2, dim=3)], dim=3))


def test_a_wrapper_may_paint_another_size():
    check_wrapper(Doubled)
    with pytest.raises(BrokenPromise, match=r"torch.randn\(\d, 3, 6, 10, "):
        check_wrapper(partial(Doubled, gain=99))


def test_a_wrapper_leaves_the_tensors_inside_alone():
    with pytest.raises(BrokenPromise, match="the input is left as it was"):
        check_wrapper(blackens, ConstantDenoiser(torch.zeros(3, 6, 5)))


# ---- regions --------------------------------------------------------------------------------------------------

PLACE = Box(2, 1, 7, 6)


class Blocks:
    """Latents that are blocks of 2 x 2 pixels."""

    channels = 3

    def size(self, grid):
        return 2 * grid[0], 2 * grid[1]

    def decode(self, clean):
        return torch.pixel_shuffle(clean, 2)

    def encode(self, pictures):
        return torch.pixel_unshuffle(pictures, 2)


LATENTS = BoxRegion(GaussianDenoiser(Spec((3, 4), 12, codec=Blocks())), (1, 2, 8, 6))
OBJECT = BoxRegion(GaussianDenoiser(SPEC), PLACE, "object", 1)


def placed(base=BoxRegion, place=PLACE, spec=SPEC, name="object", z=1, listen_from=None, **methods):
    """A region with some of its methods changed: each is given the method of the class, and its arguments."""
    broken = {
        name: lambda self, *given, name=name, change=change: change(getattr(super(Broken, self), name), *given)
        for name, change in methods.items()
    }
    Broken = type("Broken", (base,), broken)
    return Broken(GaussianDenoiser(spec), place, name, z, listen_from)


def lays(image=lambda image: image, matte=lambda matte: matte):
    def lay(method, clean):
        layer = method(clean)
        return Layer(image(layer.image), matte(layer.matte))

    return placed(lay=lay)


def sees(change):
    return placed(view=lambda method, *given: change(method(*given)))


def codes(decode=lambda picture: picture, encode=lambda state: state):
    """A region of latents whose codec's answers are changed."""
    codec = Blocks()
    codec.decode = lambda clean: decode(Blocks.decode(codec, clean))
    codec.encode = lambda pictures: encode(Blocks.encode(codec, pictures))
    return BoxRegion(GaussianDenoiser(Spec((3, 4), 12, codec=codec)), (1, 2, 8, 6), "latents")


class Holed(BoxRegion):
    """A region that is not in its box' upper half, but leaves its image there."""

    def __init__(self):
        super().__init__(GaussianDenoiser(SPEC), PLACE, "holed", 1)

    def lay(self, clean):
        image, matte = super().lay(clean)
        return Layer(image, matte * (torch.arange(matte.shape[2]) > 2).view(-1, 1))


COUNTED = Counting(lambda calls, seen: seen * (1 - 1e-6 * (calls % 7)))


REGIONS = [
    ("it answers without an error", placed(lay=raises)),
    ("the input is left as it was", placed(lay=lambda method, clean: method(clean.mul_(0.5)))),
    ("global random generators are left alone", sees(lambda seen: seen + 0 * torch.rand(1))),
    ("its name is a text", placed(name=3)),
    ("its z is a whole number", placed(z=0.5)),
    ("listen_from is None or within 0..1", placed(listen_from=1.5)),
    ("the answer is a Layer", placed(lay=lambda method, *given: tuple(method(*given)))),
    ("the image: the right shape", lays(image=lambda image: image[:, :2])),
    ("the image: the input's dtype", lays(image=lambda image: image.double())),
    ("the image: the input's device", lays(image=lambda image: image.to("meta"))),
    ("the image: neither NaN nor infinity", lays(image=lambda image: image / 0)),
    ("the matte: the right shape", lays(matte=lambda matte: matte[:, 0])),
    ("the matte: the input's dtype", lays(matte=lambda matte: matte.double())),
    ("the matte: the input's device", lays(matte=lambda matte: matte.to("meta"))),
    ("the matte: neither NaN nor infinity", lays(matte=lambda matte: matte / 0)),
    ("the matte lies in 0..1", lays(matte=lambda matte: 1.1 * matte)),
    ("image and matte are zero where an opaque one has no matte", Holed()),
    ("what it decodes: the right shape", codes(decode=lambda picture: picture[:, :2])),
    ("what it decodes: the input's dtype", codes(decode=lambda picture: picture.double())),
    ("what it decodes: the input's device", codes(decode=lambda picture: picture.to("meta"))),
    ("what it decodes: neither NaN nor infinity", codes(decode=lambda picture: picture / 0)),
    ("a view has the size that is asked for", placed(view=lambda method, patch, size=None: method(patch))),
    ("the view: the right shape", sees(lambda seen: seen[:, :, 1:])),
    ("the view: the input's dtype", sees(lambda seen: seen.double())),
    ("the view: the input's device", sees(lambda seen: seen.to("meta"))),
    ("the view: neither NaN nor infinity", sees(lambda seen: seen * torch.nan)),
    ("the view keeps the range of what it shows", sees(lambda seen: 2 * seen - 1)),
    ("the view of ones is one", sees(lambda seen: 0.9 * seen)),
    ("what it encodes: the right shape", codes(encode=lambda state: state[:, :3])),
    ("what it encodes: the input's dtype", codes(encode=lambda state: state.double())),
    ("what it encodes: the input's device", codes(encode=lambda state: state.to("meta"))),
    ("what it encodes: neither NaN nor infinity", codes(encode=lambda state: state / 0)),
    ("the same input gives the same bits", sees(COUNTED)),
    ("a sample comes out the same alone and in its batch", codes(encode=lambda state: state - state.mean(0))),
]


@pytest.mark.parametrize("region", [OBJECT, LATENTS, BoxRegion(STILL)], ids=["object", "latents", "picture"])
def test_good_regions_pass(region):
    check_region(region)


# ---- classifiers ----------------------------------------------------------------------------------------------


def bright(x_t, t, noise):
    return F.logsigmoid(x_t.mean((1, 2, 3)) / float(noise.alpha_bar[t]) ** 0.5)


def finds(change):
    """A classifier whose log p is changed."""
    return lambda *given: change(bright(*given))


def looks_away(x_t, t, noise):
    return bright(x_t.detach(), t, noise)


def infinitely_steep(x_t, t, noise):
    return bright(x_t, t, noise) - (x_t * 0).sum((1, 2, 3)).abs().sqrt()


CLASSIFIERS = [
    ("it answers without an error", raises),
    ("the input is left as it was", lambda x, t, noise: bright(x.data.mul_(0.5), t, noise)),
    ("global random generators are left alone", draws(random.random, bright)),
    ("log p: a tensor", finds(lambda log_p: log_p.tolist())),
    ("log p: the right shape", finds(lambda log_p: log_p.sum())),
    ("log p: the input's dtype", finds(lambda log_p: log_p.double())),
    ("log p: the input's device", finds(lambda log_p: log_p.to("meta"))),
    ("log p: neither NaN nor infinity", finds(lambda log_p: log_p / 0)),
    ("log p is 0 or less", finds(torch.exp)),
    ("the same input gives the same bits", Counting(lambda calls, *given: bright(*given) * calls)),
    ("log p has a finite gradient with respect to the state", looks_away),
    ("log p has a finite gradient with respect to the state", infinitely_steep),
    ("a sample comes out the same alone and in its batch", lambda x, t, noise: bright(x - x.mean(0), t, noise)),
]


def test_a_good_classifier_passes():
    check_classifier(bright)
    check_classifier(bright, Spec((4, 4), 3, 1), NoiseSchedule.cosine(50))


# ---- every promise has an offender ----------------------------------------------------------------------------

KINDS = {
    "rule": (check_merge_rule.of, RULES, [honest, Repaints(), HardMask()]),
    "schedule": (check_timestep_schedule.of, SCHEDULES, [Descent()]),
    "stepper": (check_stepper.of, STEPPERS, [noiseless]),
    "exporter": (check_exporter.of, EXPORTERS, [Listing(listed)]),
    "denoiser": (check_denoiser.of, DENOISERS, [spreading(lambda x: x.new_ones(())), STILL]),
    "wrap": (check_wrapper.of, WRAPPERS, [Wrapped]),
    "classifier": (check_classifier.of, CLASSIFIERS, [bright]),
    "region": (check_region.of, REGIONS, [OBJECT, LATENTS]),
}
OFFENCES = [(kind, promise, broken) for kind, (_, broken_ones, _) in KINDS.items() for promise, broken in broken_ones]


@pytest.mark.parametrize(("kind", "promise", "broken"), OFFENCES, ids=[f"{kind}-{p}" for kind, p, _ in OFFENCES])
def test_an_offender_is_told_which_promise_by_which_input_and_how_to_see_it(kind, promise, broken):
    check = KINDS[kind][0](broken)
    with pytest.raises(BrokenPromise) as caught:
        check.run()
    broken_promise = caught.value
    assert broken_promise.verdict.promise == promise
    assert str(broken_promise).startswith(f"Broken promise: {promise}")
    assert f"Input: {broken_promise.input}." in str(broken_promise)
    with suppress(KeyError, ScheduleError):  # what the offenders raise
        exec(broken_promise.code, {kind: broken})


@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_of_a_kind_has_an_offender(kind):
    check, broken_ones, good_ones = KINDS[kind]
    promises = {promise for good in good_ones for promise in check(good, examples=10).report()}
    assert not [broken for broken in promises if isinstance(broken, BrokenPromise)]
    assert promises <= {promise for promise, _ in broken_ones}


def test_a_message_shows_what_was_seen():
    with pytest.raises(
        BrokenPromise, match=r"sum to one at every pixel \(off by 0.01\)\.\nInput: Scene\(size=\(1, 1\)"
    ):
        check_merge_rule(returning(weights=lambda weights: weights * 1.01))
    with pytest.raises(BrokenPromise, match=r"region 1 has 0\.5"):
        check_merge_rule(leaks)
    with pytest.raises(BrokenPromise, match=r"KeyError: 'no such thing'") as caught:
        check_timestep_schedule(raises)
    assert isinstance(caught.value.__cause__, KeyError)


def test_the_lines_of_a_message_break_the_promise_again():
    with pytest.raises(BrokenPromise) as caught:
        check_denoiser(Saying(lambda x_t, t: Prediction(x_t / (1000 - t))))
    *lines, last = caught.value.code.splitlines()
    names = {"denoiser": Saying(lambda x_t, t: Prediction(x_t / (1000 - t)))}
    exec("\n".join([*lines, f"output = {last}"]), names)
    assert not names["output"].clean.isfinite().all()


def test_a_promise_that_is_broken_once_is_told_too():
    """Where the input that broke it breaks nothing when asked again, hypothesis itself would call that flaky."""
    once = Counting(lambda calls, x_t, t: Prediction(x_t + (calls == 40)))
    with pytest.raises(BrokenPromise, match=r"alone and in its batch|the same bits|inference_mode"):
        check_denoiser(Saying(once), examples=50)


def test_a_report_has_every_promise_and_goes_on_after_a_broken_one():
    findings = check_merge_rule.of(
        returning(canvas=lambda canvas: canvas + 0.01, weights=lambda w: w * 1.01), examples=20
    ).report()
    broken = [finding.verdict.promise for finding in findings if isinstance(finding, BrokenPromise)]
    assert broken == ["weights sum to one at every pixel", "the canvas stays within the range of its layers"]
    assert "a sample comes out the same alone and in its batch" in findings
    assert "weights are 0 or more" in findings


# ---- closed forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [1, 300, 1000])
def test_the_gaussian_denoiser_is_the_best_linear_guess(t):
    """Least squares on drawn pairs (x_t, x_0) finds the same line."""
    denoiser = GaussianDenoiser(Spec((1, 1), 1), 0.3, 0.5)
    generator = torch.Generator().manual_seed(t)
    clean, noise = torch.randn(2, 400_000, 1, 1, 1, generator=generator, dtype=torch.float64)
    clean = 0.3 + 0.5 * clean
    x_t = denoiser.noise.diffuse(clean, 0, t, noise)
    pairs = torch.cat([x_t.flatten()[None], clean.flatten()[None]])
    covariance = torch.cov(pairs)
    slope = covariance[0, 1] / covariance[0, 0]
    fitted = clean.mean() + slope * (x_t - x_t.mean())
    assert torch.allclose(denoiser(x_t, t).clean, fitted, atol=0.01)


def test_certainty_about_the_mask_alone():
    disk = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
    mean = torch.stack([torch.zeros(2, 2), disk])
    sd = torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
    clean = GaussianDenoiser(Spec((2, 2), 1, 1), mean, sd)(torch.randn(3, 2, 2, 2), 500).clean
    assert torch.equal(clean[:, 1], disk.expand(3, 2, 2))
    assert clean[:, 0].std() > 0


def test_the_constant_denoiser_tells_image_from_mask():
    denoiser = ConstantDenoiser(torch.zeros(4, 6, 5), mask_channels=1)
    assert denoiser.spec == Spec((6, 5), 3, 1)


# ---- strategies -----------------------------------------------------------------------------------------------


@given(moves())
def test_moves_go_down(move):
    noise, x_t, prediction, z, t, s = move.inputs()
    assert 0 <= s < t <= noise.steps
    assert x_t.shape == prediction.clean.shape == z.shape
    before = move.inputs_before()
    assert before is None or t == before[5] < before[4] <= noise.steps


@given(st.data())
def test_boxes_lie_inside(data):
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    data.draw(boxes(size)).check_inside(size, "the test")


@given(scenes())
@settings(max_examples=20)
def test_a_scene_makes_the_same_layers_at_every_call(scene):
    first, second = scene.layers(), scene.layers()
    assert all(torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True))
    outside = ~scene.supports()
    assert all((layer.matte * away == 0).all() for layer, away in zip(first, outside, strict=True))


@given(layers())
@settings(max_examples=20)
def test_layers_are_images_and_mattes(layers):
    for image, matte in layers:
        assert -1 <= image.min() <= image.max() <= 1
        assert 0 <= matte.min() <= matte.max() <= 1


@given(walks(steps=7))
def test_walks_are_walks(walk):
    assert check_walk(walk, 7) == walk


@given(noise_schedules(60))
def test_noise_schedules_fall(schedule):
    assert 1 <= schedule.steps <= 60
