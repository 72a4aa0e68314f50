"""What the composer refuses, and the errors: what was given, what was expected, what to try."""

import pytest
import torch

from dmix_core import (
    Ancestral,
    Box,
    BoxRegion,
    Composer,
    Descent,
    Exchange,
    HardMask,
    Merged,
    NoiseSchedule,
    Prediction,
    Spec,
    StillImage,
    TailResampling,
)
from dmix_core.errors import CompositionError, DenoiserError, DmixError, GeometryError, ScheduleError
from dmix_core.testing import GaussianDenoiser


def painter(size=(8, 8), masks=0, channels=3, noise=None):
    return GaussianDenoiser(Spec(size, channels, masks), noise=noise or NoiseSchedule.linear())


def regions(box=(2, 2, 4, 4), above=None, **settings):
    above = above or painter((4, 4), masks=1)
    return [BoxRegion(painter()), BoxRegion(above, box, name="hole", z=1, **settings)]


def compose(parts, **settings):
    return Composer(parts, **{"steps": 10, "timesteps": TailResampling(3, 1), **settings}).compose()


def test_a_model_that_paints_no_object_is_none():
    empty = GaussianDenoiser(Spec((4, 4), 3, 1, empty=True))
    with pytest.raises(CompositionError, match=r"Region 'hole' cannot be an object.* Expected another class"):
        Composer(regions(above=empty), steps=10)
    below = BoxRegion(GaussianDenoiser(Spec((8, 8), 3, 1, empty=True)))
    Composer([BoxRegion(painter((4, 4), masks=1), (2, 2, 4, 4), z=1), below], steps=10)


# ---- boxes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [(5, 0, 4, 4), (-1, 0, 4, 4), (0, -4, 4, 4), (0, 5, 4, 4), (100, 100, 4, 4)])
def test_a_box_outside_the_canvas(box):
    expected = r"of region 'hole' leaves the canvas of 8x8 pixels; expected 0 <= x <= 4 and 0 <= y <= 4"
    with pytest.raises(GeometryError, match=expected):
        Composer(regions(box), steps=10)


def test_a_box_larger_than_the_canvas():
    with pytest.raises(
        GeometryError, match=r"\(0, 0, 9, 4\) of region 'hole'.*8x8 pixels; expected a box of at most that"
    ):
        Composer(regions((0, 0, 9, 4)), steps=10)


@pytest.mark.parametrize("box", [(0, 0, 0, 4), (0, 0, 4, 0), (4, 4, -2, 2)])
def test_a_box_without_area(box):
    with pytest.raises(GeometryError, match=r"of region 'hole' has no area; expected x,y,width,height with both sides"):
        Composer(regions(box), steps=10)


def test_a_canvas_that_is_not_covered():
    alone = [BoxRegion(painter(), Box(1, 0, 8, 8))]
    with pytest.raises(
        CompositionError, match=r"16 of the canvas' 10x8 pixels lie in no region\. Put a background below"
    ):
        Composer(alone, size=(8, 10), steps=10)


# ---- walks and settings --------------------------------------------------------------------------------------------


def test_a_jump_longer_than_the_walk():
    with pytest.raises(ScheduleError, match=r"jump_length is 11, but there are only 10 levels to climb"):
        Composer(regions(), steps=10, timesteps=TailResampling(11, 1))


def test_a_walk_that_is_none():
    with pytest.raises(ScheduleError, match="goes from 8 to 8"):
        Composer(regions(), steps=10, timesteps=lambda steps: [10, 8, 8, 0])


def test_more_steps_than_a_model_was_trained_with():
    short = painter((4, 4), masks=1, noise=NoiseSchedule.cosine(100))
    with pytest.raises(
        ScheduleError, match=r"Cannot take 101 levels out of 100\. Expected between 1 and 100: use fewer"
    ):
        Composer(regions(above=short), steps=101)


@pytest.mark.parametrize("start", [-0.1, 1.1, 90, float("nan")])
def test_merge_from_is_a_fraction(start):
    expected = rf"merge_from is {start}; expected a fraction of the denoising, 0 \(from the first step\) to 1 \(never\)"
    with pytest.raises(CompositionError, match=expected):
        Composer(regions(), steps=10, merge_from=start)


def test_listen_from_is_a_fraction_and_names_its_region():
    with pytest.raises(CompositionError, match=r"listen_from of region 'hole' is 50; expected a fraction"):
        Composer(regions(listen_from=50), steps=10)


@pytest.mark.parametrize(
    ("setting", "given", "message"),
    [
        ("others", "nosy", r"others is 'nosy'; expected 'clean' or 'noisy'\. Did you mean 'noisy'\?"),
        ("seams", "keep", r"seams is 'keep'; expected 'keep-variance' or 'literal'\."),
    ],
)
def test_settings_with_names(setting, given, message):
    with pytest.raises(CompositionError, match=message):
        Exchange(**{setting: given})


@pytest.mark.parametrize("samples", [0, -2, []])
def test_no_samples(samples):
    with pytest.raises(CompositionError, match=r"samples is .*; expected at least one"):
        Composer(regions(), steps=10, timesteps=Descent()).compose(samples)


# ---- regions -------------------------------------------------------------------------------------------------------


def test_no_regions():
    with pytest.raises(CompositionError, match="needs at least one region; got none"):
        Composer([])


def test_more_regions_than_a_byte_can_number():
    with pytest.raises(CompositionError, match=r"257 regions are too many.*numbers 256"):
        Composer([BoxRegion(painter(), name=str(number)) for number in range(257)])


def test_names_that_are_taken():
    twins = [BoxRegion(painter(), name="a"), BoxRegion(painter(), name="a")]
    with pytest.raises(CompositionError, match=r"must differ.*got \['a', 'a'\]\. Give each its own name"):
        Composer(twins, steps=10)


def test_channels_that_do_not_match():
    grey = painter((4, 4), masks=1, channels=1)
    with pytest.raises(CompositionError, match=r"same number of image channels; got \{'background': 3, 'hole': 1\}"):
        Composer(regions(above=grey), steps=10)


def test_a_grey_photograph_under_an_rgb_object():
    parts = regions()
    parts[0] = BoxRegion(StillImage(torch.zeros(1, 8, 8)))
    with pytest.raises(CompositionError, match="Grey models are composed with grey ones, RGB with RGB"):
        Composer(parts, steps=10)


# ---- denoisers -----------------------------------------------------------------------------------------------------


class Broken:
    """A denoiser of 4x4 with mask whose prediction is spoilt from a level on."""

    spec, noise = Spec((4, 4), 3, 1), NoiseSchedule.linear(100)

    def __init__(self, spoil, below=5):
        self.spoil, self.below = spoil, self.noise.respace(10).levels[below]

    def __call__(self, x_t, t):
        prediction = Prediction(x_t / 2)
        return self.spoil(prediction) if t <= self.below else prediction


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_denoiser_that_returns_nan(value):
    def spoil(prediction):
        clean = prediction.clean.clone()
        clean[0, 0, 0, 0] = value
        return Prediction(clean)

    with pytest.raises(DenoiserError, match=r"region 'hole' returned NaN or infinity at level 5\. Try float32"):
        compose(regions(above=Broken(spoil)))


@pytest.mark.parametrize(
    ("spoil", "shape"),
    [
        (lambda p: Prediction(p.clean[:, :3]), r"\(1, 3, 4, 4\)"),
        (lambda p: Prediction(p.clean.repeat(1, 2, 1, 1)), r"\(1, 8, 4, 4\)"),
        (lambda p: Prediction(p.clean[..., :2]), r"\(1, 4, 4, 2\)"),
        (lambda p: Prediction(p.clean[0]), r"\(4, 4, 4\)"),
    ],
)
def test_a_denoiser_that_returns_a_wrong_shape(spoil, shape):
    message = rf"region 'hole' returned the shape {shape} at level 5; expected that of its state, \(1, 4, 4, 4\)"
    with pytest.raises(DenoiserError, match=message):
        compose(regions(above=Broken(spoil)))


def test_a_shared_denoiser_that_returns_too_few_samples():
    shared = Broken(lambda p: Prediction(p.clean[:1]))
    parts = [*regions(above=shared), BoxRegion(shared, (4, 4, 4, 4), name="pit", z=2)]
    message = r"regions 'hole' and 'pit' returned the shape \(1, 4, 4, 4\) at level 5; expected.*\(2, 4, 4, 4\)"
    with pytest.raises(DenoiserError, match=message):
        compose(parts)


@pytest.mark.parametrize("spread", [torch.zeros(7), torch.zeros(2, 4, 4, 4), torch.zeros(1, 1, 1, 1, 1)])
def test_a_spread_that_does_not_fit(spread):
    message = r"region 'hole' returned a spread of shape .* at level 5; expected one that broadcasts to \(1, 4, 4, 4\)"
    with pytest.raises(DenoiserError, match=message):
        compose(regions(above=Broken(lambda p: p._replace(spread=spread))))


def test_a_spread_of_nan():
    spread = torch.full((1, 1, 1, 1), float("nan"))
    with pytest.raises(DenoiserError, match=r"region 'hole' returned NaN or infinity at level 5"):
        compose(regions(above=Broken(lambda p: p._replace(spread=spread))))


# ---- merge rules ---------------------------------------------------------------------------------------------------


class Spoilt(HardMask):
    """The hard mask with something done to what it returns."""

    def __init__(self, spoil):
        super().__init__()
        object.__setattr__(self, "spoil", spoil)

    def __call__(self, layers, progress):
        return self.spoil(super().__call__(layers, progress))


@pytest.mark.parametrize(
    ("weights", "sums"),
    [
        (lambda w: w / 2, "sums from 0.5 to 0.5, lowest weight 0"),
        (lambda w: w + 0.25, "sums from 1.5 to 1.5, lowest weight 0.25"),
        (lambda w: torch.cat([w[:1] + 1, w[1:] - 1]), "sums from 1 to 1, lowest weight -1"),
        (lambda w: w * float("nan"), "sums from nan to nan"),
    ],
)
def test_weights_that_are_no_shares(weights, sums):
    message = rf"weights do not sum to one on the way to level 0: {sums}.*expected weights in 0\.\.1 that sum to 1"
    with pytest.raises(CompositionError, match=message):
        compose(regions(), merge=Spoilt(lambda merged: Merged(merged.canvas, weights(merged.weights))))


def test_weights_outside_of_a_box():
    def swapped(merged):
        return Merged(merged.canvas, merged.weights.flip(0))

    with pytest.raises(
        CompositionError, match=r"Region 'hole' was given pixels outside of its box on the way to level"
    ):
        compose(regions(), merge=Spoilt(swapped), merge_from=0.5)


def test_a_transparent_picture_over_nothing():
    picture = torch.zeros(4, 8, 8)
    picture[3] = 1
    picture[3, :2, :3] = -1
    parts = [BoxRegion(StillImage(picture, mask_channels=1), name="cut-out"), regions()[1]]
    with pytest.raises(CompositionError, match=r"picture of region 'cut-out' is transparent in 6 pixels.*lower z"):
        Composer(parts, steps=10)


def test_a_transparent_top_over_nothing():
    """The bottom region owns what nobody claims, but it cannot paint beyond its box."""
    parts = [BoxRegion(painter(), (0, 0, 8, 8)), BoxRegion(painter((8, 2), masks=1), (8, 0, 2, 8), name="edge", z=1)]
    with pytest.raises(CompositionError, match=r"Region 'background' was given pixels outside of its box"):
        compose(parts, size=(8, 10))


@pytest.mark.parametrize(
    ("spoil", "given"),
    [
        (lambda m: Merged(m.canvas[:, :1], m.weights), r"canvas \(1, 1, 8, 8\) and weights \(2, 1, 1, 8, 8\)"),
        (lambda m: Merged(m.canvas, m.weights[:1]), r"canvas \(1, 3, 8, 8\) and weights \(1, 1, 1, 8, 8\)"),
        (lambda m: Merged(m.canvas, m.weights[..., :1]), r"weights \(2, 1, 1, 8, 1\)"),
    ],
)
def test_a_merge_rule_that_returns_a_wrong_shape(spoil, given):
    message = rf"returned a .*{given} on the way to level 0; expected \(1, 3, 8, 8\) and \(2, 1, 1, 8, 8\)"
    with pytest.raises(CompositionError, match=message):
        compose(regions(), merge=Spoilt(spoil))


def test_a_merge_rule_whose_canvas_is_nan():
    def spoil(merged):
        return Merged(merged.canvas * float("nan"), merged.weights)

    with pytest.raises(CompositionError, match=r"merge rule returned NaN or infinity on the way to level 0"):
        compose(regions(), merge=Spoilt(spoil))


# ---- steppers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[:, :3], r"the shape \(1, 3, 4, 4\) for region 'hole' from level 10 to 9; .*\(1, 4, 4, 4\)"),
        (lambda x: x / 0, "NaN or infinity for region 'hole' from level 10 to 9; expected a state"),
    ],
)
def test_a_stepper_that_returns_no_state(spoil, message):
    class Spoilt(Ancestral):
        def step(self, noise, x_t, prediction, z, t, s, state):
            x_s, state = super().step(noise, x_t, prediction, z, t, s, state)
            return spoil(x_s) if x_s.shape[1] == 4 else x_s, state

    with pytest.raises(CompositionError, match=f"The stepper returned {message}"):
        compose(regions(), stepper=Spoilt())


# ---- in general ----------------------------------------------------------------------------------------------------


def test_only_the_last_step_can_be_finished():
    composer = Composer(regions(), steps=10, timesteps=Descent())
    first, *_, last = composer.steps()
    with pytest.raises(
        CompositionError, match="Only the last step, into level 0, can be finished; this one goes 10 -> 9"
    ):
        composer.finish(first)
    assert torch.equal(composer.finish(last).image, composer.compose().image)


def test_every_error_is_of_one_family():
    assert all(
        issubclass(error, DmixError) for error in (CompositionError, DenoiserError, GeometryError, ScheduleError)
    )


def test_what_does_not_fit_is_refused_before_any_network_is_called():
    class Untouchable(GaussianDenoiser):
        def __call__(self, x_t, t):
            raise AssertionError("called")

    with pytest.raises(GeometryError):
        Composer(regions((6, 6, 4, 4), above=Untouchable(Spec((4, 4), 3, 1))), steps=10)
