"""The composer's invariants, on denoisers in closed form."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

import dmix_core.composer
from dmix_core import (
    Ancestral,
    Box,
    BoxRegion,
    Composer,
    Descent,
    Exchange,
    HardMask,
    Layer,
    Merged,
    NoiseSchedule,
    Prediction,
    Spec,
    StillImage,
    TailResampling,
)
from dmix_core.draws import normal
from dmix_core.images import read_image, to_uint8, write_png
from dmix_core.mattes import blend, stack
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser

LINEAR = NoiseSchedule.linear()
SHORT = {"steps": 20, "timesteps": TailResampling(4, 1), "merge_from": 0.7}  # merges from level 6 on


def disc(side):
    """A mask (1, side, side) that is 1 in the middle and -1 around."""
    axis = torch.linspace(-1, 1, side)
    return ((axis[:, None] ** 2 + axis**2 < 0.6).float() * 2 - 1)[None]


def background(size=(12, 12), mean=0.3, sd=0.4, noise=LINEAR):
    return GaussianDenoiser(Spec(size), mean, sd, noise)


def thing(mask, mean=-0.5, sd=0.3, noise=LINEAR):
    """An object whose colours are Gaussian and whose mask (1, h, w) is always this one."""
    means = torch.cat([torch.full((3, *mask.shape[1:]), float(mean)), mask])
    sds = torch.tensor([sd, sd, sd, 0.0]).view(4, 1, 1)
    return GaussianDenoiser(Spec(tuple(mask.shape[1:]), 3, 1), means, sds, noise)


def dreamer(side=6, noise=LINEAR):
    """An object whose mask is as random as its colours."""
    return GaussianDenoiser(Spec((side, side), 3, 1), 0.0, 1.0, noise)


class SoftMask:
    """The predicted mask as it is, for seams with weights between 0 and 1."""

    def __call__(self, layers, progress):
        return blend(layers, stack([layer.matte for layer in layers]))


class Recorder:
    """Passes on to another denoiser and keeps (batch, level) of every call."""

    def __init__(self, inner):
        self.inner, self.spec, self.noise, self.calls = inner, inner.spec, inner.noise, []

    def __call__(self, x_t, t):
        self.calls.append((len(x_t), t))
        return self.inner(x_t, t)


class Convolution:
    """A network of sorts: what a sample becomes may depend, in its last bits, on the batch around it."""

    noise = LINEAR

    def __init__(self, size, masks=0):
        self.spec = Spec(size, 3, masks)
        channels = self.spec.channels
        self.kernel = torch.randn(channels, channels, 5, 5, generator=torch.Generator().manual_seed(0)) / 10

    def __call__(self, x_t, t):
        return Prediction(torch.tanh(F.conv2d(x_t, self.kernel, padding=2)))


def pair(below=None, above=None, box=(3, 2, 6, 6)):
    """A background of 12x12 and an object of 6x6 on it."""
    return [
        BoxRegion(below or background()),
        BoxRegion(above or thing(disc(6)), box, name="thing", z=1),
    ]


def run(regions, samples=2, seed=5, **settings):
    return list(Composer(regions, **{**SHORT, **settings}).steps(samples, seed))


def states_of(steps, region):
    return [step.states[region] for step in steps]


def all_equal(some, others):
    assert len(some) == len(others)
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def plain_chain(region, walk, steps, samples, seed=5):
    """Ancestral sampling of one model on its own, along a walk: every state after the first."""
    denoiser, noise = region.denoiser, region.denoiser.noise.respace(steps)

    def draw(purpose, index=0):
        shape = denoiser.spec.channels, *denoiser.spec.size
        return normal(shape, seed=seed, samples=samples, region=region.name, purpose=purpose, index=index)

    x, states = draw("start"), []
    for index, (t, s) in enumerate(pairwise(walk)):
        if s > t:
            x = noise.diffuse(x, t, s, draw("climb", index))
        else:
            clean, spread = denoiser(x, noise.levels[t])
            x, log_variance = noise.posterior(x, clean, t, s, spread)
            if s > 0:
                x = x + (log_variance / 2).exp() * draw("step", index)
        states.append(x)
    return states


# ---- the degenerate cases ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("walk", [Descent(), TailResampling(4, 2), TailResampling(20, 1)], ids=repr)
@pytest.mark.parametrize("merge_from", [0.0, 0.7, 1.0])
def test_one_region_alone_is_plain_ancestral_sampling(walk, merge_from):
    region = BoxRegion(background())
    steps = run([region], timesteps=walk, merge_from=merge_from)
    assert all_equal(states_of(steps, 0), plain_chain(region, walk(20), 20, range(2)))


@pytest.mark.parametrize("spread", [torch.sigmoid, lambda x: torch.full((1, 3, 1, 1), 0.3)], ids=["each", "one"])
def test_a_learned_variance_is_that_of_the_chain(spread):
    class Spreading(GaussianDenoiser):
        def __call__(self, x_t, t):
            return super().__call__(x_t, t)._replace(spread=spread(x_t))

    denoiser = Spreading(Spec((4, 4)))
    regions = [BoxRegion(denoiser), BoxRegion(denoiser, name="twin")]
    steps = run(regions, merge_from=1.0)
    for i, region in enumerate(regions):
        assert all_equal(states_of(steps, i), plain_chain(region, TailResampling(4, 1)(20), 20, range(2)))


@pytest.mark.parametrize("seams", ["keep-variance", "literal"])
@pytest.mark.parametrize("others", ["clean", "noisy"])
def test_all_zero_mattes_leave_the_backgrounds_plain_chain(seams, others):
    regions = pair(above=thing(-torch.ones(1, 6, 6)))
    steps = run(regions, exchange=Exchange(others, seams))
    assert all_equal(states_of(steps, 0), plain_chain(regions[0], TailResampling(4, 1)(20), 20, range(2)))


@pytest.mark.parametrize("seams", ["keep-variance", "literal"])
def test_a_mask_of_ones_everywhere_leaves_the_objects_plain_chain(seams):
    regions = pair(above=thing(torch.ones(1, 12, 12)), box=None)
    steps = run(regions, exchange=Exchange(seams=seams))
    assert all_equal(states_of(steps, 1), plain_chain(regions[1], TailResampling(4, 1)(20), 20, range(2)))


def test_merging_from_the_end_is_copy_and_paste():
    regions = pair()
    composer = Composer(regions, **{**SHORT, "merge_from": 1.0})
    *_, last = composer.steps(2, seed=5)
    alone = [plain_chain(region, composer.walk, 20, range(2))[-1] for region in regions]
    assert all_equal(last.states, alone)

    pasted = alone[0].clone()
    inside = (disc(6) > 0).expand(2, 3, 6, 6)
    pasted[:, :, 2:8, 3:9][inside] = alone[1][:, :3][inside]
    assert torch.equal(composer.finish(last).image, pasted)


# ---- when regions meet ---------------------------------------------------------------------------------------------


def test_regions_are_independent_before_the_merge_window():
    together, alone = run(pair()), run(pair()[:1])
    elsewhere = run(pair(below=background(mean=-0.9)))
    for step, without, other in zip(together, alone, elsewhere, strict=True):
        before = step.t > 6
        if step.s > step.t:
            break
        assert torch.equal(step.states[0], without.states[0]) == before
        assert torch.equal(step.states[1], other.states[1]) == before
        assert (step.merged is None) == before


def test_outside_of_every_box_the_background_feels_nothing_until_its_next_call():
    """The step in which merging begins moves noise of no region across a border."""
    together, alone = run(pair(), merge_from=0.7), run(pair()[:1])
    first = next(i for i, step in enumerate(together) if step.merged)
    outside = torch.ones(12, 12, dtype=torch.bool)
    outside[2:8, 3:9] = disc(6)[0] < 0
    assert torch.equal(together[first].states[0][..., outside], alone[first].states[0][..., outside])


def test_at_level_0_every_view_is_the_canvas():
    regions = [*pair(above=dreamer()), BoxRegion(dreamer(5), (5, 5, 5, 5), name="upper", z=2)]
    arrivals = [step for step in run(regions, timesteps=TailResampling(4, 2)) if step.s == 0]
    assert len(arrivals) == 3
    for step in arrivals:
        for region, state in zip(regions, step.states, strict=True):
            assert torch.equal(region.view(region.place.crop(step.merged.canvas)), state[:, :3])


def test_each_region_may_listen_from_a_time_of_its_own():
    """The object listens from 50 % on and the background never: who listens is moved by the other, and only then."""
    regions = pair()
    early = [regions[0], BoxRegion(thing(disc(6)), (3, 2, 6, 6), name="thing", z=1, listen_from=0.5)]
    steps = run(early, timesteps=Descent(), merge_from=1.0)
    alone = [plain_chain(region, range(20, -1, -1), 20, range(2)) for region in early]
    assert all_equal(states_of(steps, 0), alone[0])
    same = [torch.equal(state, other) for state, other in zip(states_of(steps, 1), alone[1], strict=True)]
    assert same == [step.t > 10 for step in steps]


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_the_last_step_merges_however_few_there_are(steps):
    merged = [step.t for step in Composer(pair(), steps=steps, timesteps=Descent()).steps() if step.merged is not None]
    states = [step.states for step in Composer(pair(), steps=steps, timesteps=Descent()).steps()][-1]
    pasted = [step.states for step in Composer(pair(), steps=steps, timesteps=Descent(), merge_from=1).steps()][-1]
    assert merged == [1]
    assert not all_equal(states, pasted)


def test_listening_from_the_first_step():
    steps = run(pair(), merge_from=0.0, timesteps=Descent())
    assert all(step.merged is not None for step in steps)


def test_the_steps_follow_the_walk():
    composer = Composer(pair(), **SHORT)
    steps = list(composer.steps(2))
    assert [(step.t, step.s) for step in steps] == list(pairwise(composer.walk))
    for step in steps:
        climb = step.s > step.t
        assert (step.predictions is None) == climb
        assert not climb or step.merged is None
        assert [tuple(state.shape) for state in step.states] == [(2, 3, 12, 12), (2, 4, 6, 6)]


def test_a_merge_rule_hears_how_far_the_denoising_is():
    heard = []

    class Listening(HardMask):
        def __call__(self, layers, progress):
            heard.append(progress)
            return super().__call__(layers, progress)

    run(pair(), merge=Listening(), timesteps=TailResampling(2, 1))
    assert heard == pytest.approx([1 - s / 20 for s in (5, 4, 3, 2, 1, 0, 1, 0)])


# ---- randomness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [background, Convolution])
def test_a_sample_is_the_same_in_any_batch(model):
    regions = pair(below=model((12, 12)), above=Convolution((6, 6), masks=1))
    composer = Composer(regions, **SHORT)
    four = composer.compose(4, seed=3).image
    for numbers in ([2], [3, 1], [0, 1, 2, 3, 4]):
        some = composer.compose(numbers, seed=3).image
        kept = [number for number in numbers if number < 4]
        torch.testing.assert_close(some[: len(kept)], four[kept], rtol=0, atol=1e-5)


def test_the_same_seed_gives_the_same_image_and_another_seed_another():
    composer = Composer(pair(), **SHORT)
    image = composer.compose(2, seed=1).image
    assert torch.equal(composer.compose(2, seed=1).image, image)
    assert not torch.isclose(composer.compose(2, seed=2).image, image).any()
    assert not torch.isclose(image[0], image[1]).any()


def test_on_another_number_of_levels_everything_else_stays():
    settings = {"merge": SoftMask(), "exchange": Exchange("noisy", "literal"), "size": (12, 12), "merge_from": 0.6}
    made = Composer(pair(), steps=20, timesteps=TailResampling(4, 1), **settings).with_steps(10)
    expected = Composer(pair(), steps=10, timesteps=TailResampling(4, 1), **settings)
    assert torch.equal(made.compose(2, seed=1).image, expected.compose(2, seed=1).image)


@pytest.fixture
def draws(monkeypatch):
    """Every draw that the composer makes: (region, purpose, index) -> noise."""
    made = {}

    def recording(shape, **key):
        noise = normal(shape, **key)
        assert (key["region"], key["purpose"], key["index"]) not in made
        made[key["region"], key["purpose"], key["index"]] = noise
        return noise

    def noise_of_region(shape, device, **key):
        return lambda purpose, index=0: recording(shape, purpose=purpose, index=index, **key)

    monkeypatch.setattr(dmix_core.composer, "RegionNoise", noise_of_region)
    return made


def test_adding_a_region_leaves_every_other_draw(draws):
    run(pair())
    before = dict(draws)
    draws.clear()
    lower, upper = (BoxRegion(dreamer(), (z, z, 6, 6), name=f"at {z}", z=z) for z in (0, 5))
    run([*pair(), upper, lower], samples=3)
    assert len(before) > 60
    assert all(torch.equal(noise, draws[key][:2]) for key, noise in before.items())


def test_every_draw_is_for_one_thing(draws):
    run([*pair(), BoxRegion(dreamer(), (0, 0, 6, 6), name="third", z=1)], samples=1)
    starts = torch.stack([noise.flatten()[:100] for noise in draws.values()])
    assert len(starts.unique(dim=0)) == len(draws)


# ---- steppers ------------------------------------------------------------------------------------------------------


class Noting(Ancestral):
    """The ancestral step that notes what it was asked."""

    def __init__(self):
        object.__setattr__(self, "asked", [])

    def init(self, x_t):
        return ()

    def step(self, noise, x_t, prediction, z, t, s, state):
        x_s, _ = super().step(noise, x_t, prediction, z, t, s, None)
        self.asked.append((noise, x_t, prediction, z, t, s, state, x_s))
        return x_s, (*state, (t, prediction))


def test_a_stepper_is_asked_for_every_regions_own_move_and_given_what_it_remembers_of_the_descent():
    stepper = Noting()
    regions = [BoxRegion(background()), BoxRegion(dreamer(noise=NoiseSchedule.cosine(400)), name="thing", z=1)]
    steps = run(regions, stepper=stepper, timesteps=TailResampling(4, 2), merge_from=1.0)
    for i, region in enumerate(regions):
        asked, before = iter(stepper.asked[i::2]), []
        for index, step in enumerate(steps):
            if step.s > step.t:
                before = []
                continue
            noise, _, prediction, z, t, s, state, x_s = next(asked)
            assert (noise.steps, noise.levels) == (20, region.denoiser.noise.respace(20).levels)
            assert (t, s) == (step.t, step.s)
            assert torch.equal(prediction.clean, step.predictions[i].clean)
            assert torch.equal(x_s, step.states[i])
            key = {"seed": 5, "samples": range(2), "region": region.name, "purpose": "step", "index": index}
            assert torch.equal(z, normal(x_s.shape[1:], **key))
            assert [level for level, _ in state] == [step.t for step in before]
            assert all_equal([each.clean for _, each in state], [step.predictions[i].clean for step in before])
            before.append(step)
        assert next(asked, None) is None


def test_no_stepper_moves_a_still_image():
    stepper = Noting()
    regions = [BoxRegion(StillImage(torch.zeros(3, 12, 12))), BoxRegion(dreamer(), name="thing", z=1)]
    run(regions, stepper=stepper, timesteps=Descent())
    assert {x_t.shape[1] for _, x_t, *_ in stepper.asked} == {4}
    assert len(stepper.asked) == 20


def test_a_stepper_decides_the_way_that_regions_go_before_they_merge():
    """Without noise a Gaussian of spread 0 is at its mean at once, and stays there scaled by sqrt(alpha_bar)."""

    class Still(Ancestral):
        def step(self, noise, x_t, prediction, z, t, s, state):
            return noise.diffuse(prediction.clean, 0, s, torch.zeros_like(z)), None

    table = LINEAR.respace(20).alpha_bar.sqrt()
    for step in run([BoxRegion(background(mean=0.4, sd=0.0))], stepper=Still(), timesteps=Descent()):
        expected = torch.full((2, 3, 12, 12), 0.4 * table[step.s].item())
        torch.testing.assert_close(step.states[0], expected, rtol=0, atol=1e-6)


# ---- the networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "resamples"), [(4, 0), (4, 1), (7, 3), (20, 2)])
def test_each_network_is_called_once_per_descending_step(tau, resamples):
    models = Recorder(background()), Recorder(thing(disc(6)))
    run(pair(*models), samples=3, timesteps=TailResampling(tau, resamples))
    for model in models:
        assert len(model.calls) == 20 + tau * resamples
        assert {batch for batch, _ in model.calls} == {3}


def test_regions_that_share_a_denoiser_run_as_one_batch():
    shared = Recorder(thing(disc(6)))
    places = [(0, 0, 6, 6), (6, 6, 6, 6), (3, 3, 6, 6)]
    regions = [BoxRegion(shared, box, name=f"thing {i}", z=1) for i, box in enumerate(places)]
    run([BoxRegion(background()), *regions], samples=2)
    assert len(shared.calls) == 20 + 4
    assert {batch for batch, _ in shared.calls} == {6}


def test_sharing_changes_nothing_but_the_number_of_calls():
    def composed(models):
        regions = [BoxRegion(model, (i, i, 6, 6), name=f"thing {i}", z=1) for i, model in enumerate(models)]
        return Composer([BoxRegion(background()), *regions], **SHORT).compose(2).image

    shared = thing(disc(6))
    torch.testing.assert_close(composed([shared] * 3), composed([thing(disc(6)) for _ in range(3)]), rtol=0, atol=1e-5)


def test_every_network_is_called_at_levels_of_its_own_table():
    tables = NoiseSchedule.linear(1000), NoiseSchedule.cosine(300)
    models = Recorder(background(noise=tables[0])), Recorder(thing(disc(6), noise=tables[1]))
    run(pair(*models), timesteps=Descent())
    for model, table in zip(models, tables, strict=True):
        assert [t for _, t in model.calls] == list(table.respace(20).levels[:0:-1])
    assert models[0].calls[0][1] == 1000
    assert models[1].calls[0][1] == 300


def test_nothing_is_computed_before_it_is_asked_for():
    model = Recorder(background())
    steps = Composer([BoxRegion(model)], **SHORT).steps()
    assert model.calls == []
    next(steps)
    next(steps)
    assert len(model.calls) == 2


# ---- noise at the seams --------------------------------------------------------------------------------------------


def soft_ramp(side):
    """A mask that rises from -1 to 1 from left to right."""
    return torch.linspace(-1, 1, side).expand(1, side, side)


@pytest.mark.parametrize("side", [5, 8, 12], ids="box {}".format)
@pytest.mark.parametrize(("rule", "mask"), [(HardMask(), disc(8)), (SoftMask(), soft_ramp(8))], ids=["hard", "soft"])
def test_the_merged_state_has_the_noise_of_its_level(rule, mask, side):
    """On data of zeros a state is nothing but noise: its variance must be 1 - alpha_bar, at seams as elsewhere."""
    below = ConstantDenoiser(torch.zeros(3, 13, 13))
    above = ConstantDenoiser(torch.cat([torch.zeros(3, 8, 8), mask]), mask_channels=1)
    regions = [BoxRegion(below), BoxRegion(above, (1, 1, side, side), name="thing", z=1)]
    table = LINEAR.respace(10).alpha_bar
    checked = set()
    for step in run(regions, 400, steps=10, timesteps=TailResampling(2, 1), merge_from=0.5, merge=rule):
        if step.merged is None or step.s not in (4, 2, 1):
            continue
        for region, state, weights in zip(regions, step.states, step.merged.weights, strict=True):
            w = region.view(region.place.crop(weights))[0, 0].clamp(0, 1)
            for place in (w == 0, w == 1, (w > 0) & (w < 1)):
                if place.sum() >= 16:  # 19 200 values or more: a standard error of 1 % or less
                    variance = state[:, :3, place].var().item()
                    assert variance == pytest.approx(1 - table[step.s].item(), rel=0.03)
                    checked.add((region.name, step.s, bool(w[place].min() < w[place].max())))
    assert any(seam for *_, seam in checked) == (rule != HardMask() or side != 8)


class Brighter(HardMask):
    """A rule that gives the objects' pixels new values."""

    def __call__(self, layers, progress):
        canvas, weights, _ = super().__call__(layers, progress)
        change = 0.4 * (1 - weights[0]).expand_as(canvas)
        return Merged(canvas + change, weights, change)


@pytest.mark.parametrize("walk", [Descent(), TailResampling(3, 2)], ids=["descent", "resampling"])
def test_every_state_is_the_canvas_of_a_rule_that_repaints_noised_to_its_level(walk):
    """Even if a denoiser never learns of it: what was changed once is not added again at the next step."""
    below = ConstantDenoiser(torch.full((3, 12, 12), -0.2))
    above = ConstantDenoiser(torch.cat([torch.full((3, 8, 8), 0.1), disc(8)]), mask_channels=1)
    regions = [BoxRegion(below), BoxRegion(above, (1, 2, 8, 8), name="thing", z=1)]
    canvas = None
    for step in run(regions, 60, steps=10, timesteps=walk, merge_from=0.0, merge=Brighter()):
        level = LINEAR.respace(10).alpha_bar[step.s].item()
        canvas = step.merged.canvas if step.merged else canvas  # a climb's is that of the step before
        for region, state in zip(regions, step.states, strict=True):
            expected = region.view(region.place.crop(canvas))[0]
            rest = state[:, :3] - level**0.5 * expected
            for place in (expected[0] == value for value in expected[0].unique()):
                error = ((1 - level) / rest[..., place].numel()) ** 0.5
                assert rest[..., place].mean().item() == pytest.approx(0, abs=4.5 * error + 1e-6)
    assert canvas.unique().tolist() == pytest.approx([-0.2, 0.5])


# ---- photographs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path):
    """A picture with every value of a byte, as read from a PNG: (its pixels, the image)."""
    pixels = (torch.arange(3 * 20 * 24) % 256).to(torch.uint8).view(3, 20, 24)
    write_png(tmp_path / "photo.png", pixels)
    return pixels, read_image(tmp_path / "photo.png")


@pytest.mark.parametrize("others", ["clean", "noisy"])
@pytest.mark.parametrize("listen_from", [0.0, 0.7, 1.0])
def test_a_photograph_is_bit_identical_where_no_object_stands(photo, tmp_path, others, listen_from):
    pixels, image = photo
    regions = [
        BoxRegion(StillImage(image)),
        BoxRegion(dreamer(), (2, 3, 6, 6), name="random", z=1, listen_from=listen_from),
        BoxRegion(thing(disc(6)), (10, 8, 9, 9), name="larger than its grid", z=1),
    ]
    composition = Composer(regions, **SHORT, exchange=Exchange(others)).compose(3)
    untouched = composition.regions[0].visible
    assert 0 < untouched.float().mean() < 1
    for result, mask in zip(composition.image, untouched, strict=True):
        assert torch.equal(result[mask.expand_as(image)], image[mask.expand_as(image)])
        write_png(tmp_path / "composite.png", result)
        again = to_uint8(read_image(tmp_path / "composite.png"))
        assert torch.equal(again[mask.expand_as(pixels)], pixels[mask.expand_as(pixels)])


def test_no_noise_is_made_for_a_photograph(photo, draws):
    run([BoxRegion(StillImage(photo[1]), name="photo"), BoxRegion(dreamer(), (2, 3, 6, 6), name="object", z=1)])
    assert {region for region, *_ in draws} == {"object"}


def test_a_photograph_is_the_same_to_others_under_both_readings_of_eq_9(photo):
    regions = [BoxRegion(StillImage(photo[1])), BoxRegion(thing(disc(6)), (2, 3, 6, 6), name="object", z=1)]
    early = SHORT | {"merge_from": 0.0}
    clean, noisy = (Composer(regions, **early, exchange=Exchange(others)).compose(2) for others in ("clean", "noisy"))
    assert torch.equal(clean.image, noisy.image)


def test_what_a_picture_leaves_transparent_shows_what_lies_below(photo):
    _, image = photo
    opaque = torch.rand(1, 20, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    cut_out = StillImage(torch.cat([image, 2.0 * opaque - 1]), mask_channels=1)
    regions = [BoxRegion(GaussianDenoiser(Spec((20, 24)))), BoxRegion(cut_out, name="cut-out", z=1)]
    composition = Composer(regions, **SHORT).compose(2)
    assert torch.equal(composition.regions[1].visible, opaque.expand(2, 1, 20, 24))
    assert torch.equal(composition.image, torch.where(opaque, image, composition.regions[0].image))


def test_a_photograph_alone_comes_back(photo):
    _, image = photo
    assert torch.equal(Composer([BoxRegion(StillImage(image))], **SHORT).compose().image[0], image)


# ---- any number of regions of any kind -----------------------------------------------------------------------------


def test_models_of_every_kind_meet_on_one_canvas():
    """Three objects of other sizes, tables and numbers of trained steps, stacked by z whatever the order given."""
    one = torch.ones(1, 1, 1)
    regions = [
        BoxRegion(thing(one.expand(1, 4, 4), 0.8, 0, NoiseSchedule.cosine(400)), (4, 4, 8, 8), name="top", z=7),
        BoxRegion(background((16, 20), 0.1, 0.0)),
        BoxRegion(thing(one.expand(1, 6, 6), -0.4, 0, NoiseSchedule.linear(250)), (0, 0, 6, 6), name="low", z=1),
        BoxRegion(thing(one.expand(1, 9, 9), -0.8, 0), (9, 9, 3, 3), name="middle", z=2),
    ]
    composition = Composer(regions, **SHORT).compose(2)
    assert [result.name for result in composition.regions] == ["background", "low", "middle", "top"]
    expected = torch.zeros(16, 20, dtype=torch.uint8)
    expected[0:6, 0:6], expected[9:12, 9:12], expected[4:12, 4:12] = 1, 2, 3
    assert torch.equal(composition.index, expected.expand(2, 16, 20))
    colours = torch.tensor([0.1, -0.4, -0.8, 0.8])[expected.long()]
    torch.testing.assert_close(composition.image, colours.expand(2, 3, 16, 20), rtol=0, atol=1e-3)


def test_regions_of_equal_height_keep_their_order():
    opaque = [thing(torch.ones(1, 4, 4), mean) for mean in (0.5, -0.5)]
    regions = [BoxRegion(model, (0, 0, 4, 4), name=f"{i}", z=1) for i, model in enumerate(opaque)]
    composition = Composer([BoxRegion(background()), *regions], **SHORT).compose()
    assert [result.boxes[0] for result in composition.regions[1:]] == [None, Box(0, 0, 4, 4)]


def test_what_is_visible_and_what_is_hidden():
    """Two opaque squares that overlap in a corner: the lower one is whole in its amodal mask only."""
    square = torch.ones(1, 4, 4)
    regions = [
        BoxRegion(background()),
        BoxRegion(thing(square), (1, 1, 4, 4), name="lower", z=1),
        BoxRegion(thing(square, 0.5), (3, 2, 4, 4), name="upper", z=2),
    ]
    ground, lower, upper = Composer(regions, **SHORT).compose().regions
    assert (lower.amodal.sum(), lower.visible.sum(), upper.visible.sum()) == (16, 16 - 2 * 3, 16)
    assert lower.boxes == (Box(1, 1, 4, 4),)
    assert upper.boxes == (Box(3, 2, 4, 4),)
    assert ground.amodal.all()
    assert ground.visible.sum() == 144 - 26
    assert torch.equal(lower.amodal[0, 0].nonzero()[[0, -1]], torch.tensor([[1, 1], [4, 4]]))


def test_masks_and_boxes_of_random_objects():
    regions = [
        BoxRegion(background()),
        *(BoxRegion(dreamer(4), (i, i, 4 + i, 4 + i), name=f"{i}", z=i) for i in range(1, 5)),
    ]
    composition = Composer(regions, **SHORT).compose(4)
    shown = torch.stack([result.visible for result in composition.regions])
    assert (shown.sum(0) == 1).all()
    for i, result in enumerate(composition.regions):
        assert torch.equal(result.visible[:, 0], composition.index == i)
        assert (result.visible <= result.amodal).all()
        assert torch.equal(composition.image * result.visible, result.image * result.visible)
        for mask, box in zip(result.visible[:, 0], result.boxes, strict=True):
            rows, columns = mask.nonzero(as_tuple=True)
            if len(rows):
                size = int(columns.max() - columns.min()) + 1, int(rows.max() - rows.min()) + 1
                assert box == (int(columns.min()), int(rows.min()), *size)
            else:
                assert box is None


def test_what_is_visible_is_amodal_even_where_no_region_has_half_of_a_pixel():
    """Mattes of 0.4 on top of each other: weights of 0.36, 0.24 and 0.4, and so the top one shows."""
    faint = [
        BoxRegion(ConstantDenoiser(torch.full((4, 4, 4), -0.2), mask_channels=1), name=f"{z}", z=z) for z in (1, 2)
    ]
    composition = Composer([BoxRegion(background((4, 4))), *faint], **SHORT, merge=SoftMask()).compose()
    assert (composition.index == 2).all()
    assert composition.regions[2].amodal.all()
    assert not composition.regions[1].amodal.any()


def test_an_object_that_nothing_hides_is_seen_as_it_is():
    composition = Composer(pair(above=dreamer()), **SHORT).compose(3)
    result = composition.regions[1]
    assert torch.equal(result.visible, result.amodal)


@pytest.mark.parametrize("side", [3, 6, 11])
def test_a_box_of_another_size_than_the_grid(side):
    """Constant colours stay what they are, however they are resized on the way."""
    regions = pair(background(mean=0.5, sd=0.0), thing(torch.ones(1, 6, 6), -0.5, 0.0), (1, 0, side, side))
    composition = Composer(regions, **SHORT).compose(2)
    inside = composition.regions[1].visible
    assert composition.regions[1].boxes == (Box(1, 0, side, side),) * 2
    expected = torch.where(inside, -0.5, 0.5).expand(2, 3, 12, 12)
    torch.testing.assert_close(composition.image, expected, rtol=0, atol=1e-3)


def test_the_canvas_may_be_larger_than_the_bottom_regions_grid():
    regions = [BoxRegion(background((8, 8)), (0, 0, 12, 16)), BoxRegion(dreamer(), (10, 9, 2, 7), name="thing", z=1)]
    assert Composer(regions, size=(16, 12), **SHORT).compose().image.shape == (1, 3, 16, 12)


def test_a_canvas_may_be_tiled_by_regions_that_know_of_no_background():
    halves = [BoxRegion(background((8, 6)), (x, 0, 6, 8), name=f"at {x}") for x in (0, 6)]

    class Owners:
        def __call__(self, layers, progress):
            return blend(layers, torch.stack([layer.matte for layer in layers]))

    composition = Composer(halves, size=(8, 12), merge=Owners(), **SHORT).compose()
    assert [result.boxes[0] for result in composition.regions] == [Box(0, 0, 6, 8), Box(6, 0, 6, 8)]


def test_a_region_need_not_be_a_box():
    """The composer asks for lay and view alone: here a region that meets the canvas mirrored."""

    class Mirror(BoxRegion):
        def lay(self, clean):
            return Layer(*(tensor.flip(-1) for tensor in super().lay(clean)))

        def view(self, patch, size=None):
            return super().view(patch.flip(-1), size)

    ramp = torch.linspace(-1, 1, 12).expand(3, 12, 12)
    regions = [BoxRegion(background()), Mirror(ConstantDenoiser(ramp), name="mirror", z=1)]
    *_, last = run(regions)
    torch.testing.assert_close(last.merged.canvas, ramp.flip(-1).expand(2, 3, 12, 12))
    torch.testing.assert_close(last.states[1], ramp.expand(2, 3, 12, 12))


def test_weights_may_round_above_one():
    """A rule's weights sum to one within 1e-4; what lies above one is no reason for the root of a negative number."""

    class Rounding(HardMask):
        def __call__(self, layers, progress):
            canvas, weights, _ = super().__call__(layers, progress)
            return Merged(canvas, weights * (1 + 5e-5))

    assert torch.isfinite(Composer(pair(), **SHORT, merge=Rounding()).compose().image).all()


def test_one_step_is_enough():
    composition = Composer(pair(), steps=1, timesteps=Descent()).compose()
    assert torch.isfinite(composition.image).all()
