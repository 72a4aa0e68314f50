"""The composer's invariants over drawn scenes: boxes of any place and size, heights, walks, windows and options."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import BoxRegion, Composer, Exchange, NoiseSchedule, Spec, StillImage, TailResampling
from dmix_core.testing import GaussianDenoiser

CANVAS = (8, 10)
NOISE = NoiseSchedule.linear()


@st.composite
def objects(draw):
    """An object on a grid of its own, in any box of the canvas."""
    width, height = draw(st.integers(1, CANVAS[1])), draw(st.integers(1, CANVAS[0]))
    box = draw(st.integers(0, CANVAS[1] - width)), draw(st.integers(0, CANVAS[0] - height)), width, height
    grid = draw(st.sampled_from([(height, width), (4, 4), (7, 5)]))
    denoiser = GaussianDenoiser(Spec(grid, 3, 1), mean=draw(st.sampled_from([-0.4, 0.0, 0.4])), sd=0.5, noise=NOISE)
    return denoiser, box, draw(st.integers(-2, 2)), draw(st.none() | st.sampled_from([0.0, 0.5, 1.0]))


@st.composite
def scenes(draw, merges=(0.0, 0.5, 0.9)):
    """(regions above the background, settings of the composer)."""
    above = [
        BoxRegion(denoiser, box, f"object {number}", 3 + z, listen_from)
        for number, (denoiser, box, z, listen_from) in enumerate(draw(st.lists(objects(), max_size=3)))
    ]
    steps = draw(st.integers(2, 12))
    walk = TailResampling(draw(st.integers(1, steps)), draw(st.integers(0, 2)))
    return above, {"steps": steps, "timesteps": walk, "merge_from": draw(st.sampled_from(merges))}


def scene():
    return BoxRegion(GaussianDenoiser(Spec(CANVAS), mean=0.2, sd=0.5, noise=NOISE))


@given(scenes())
@settings(max_examples=40, deadline=None)
def test_a_region_that_listens_and_is_not_resized_ends_as_its_view_of_the_canvas(drawn):
    above, options = drawn
    composer = Composer([scene(), *above], **options)
    *_, last = composer.steps(2)
    for region, state in zip(composer.regions, last.states, strict=True):
        if region.listen_from != 1 and region.place.size == region.denoiser.spec.size:
            torch.testing.assert_close(
                state[:, :3], region.view(region.place.crop(last.merged.canvas)), rtol=0, atol=1e-5
            )
    assert last.merged.weights.min() >= 0
    torch.testing.assert_close(last.merged.weights.sum(0), torch.ones(2, 1, *CANVAS))


@given(scenes(), st.integers(0, 2**40))
@settings(max_examples=30, deadline=None)
def test_a_sample_does_not_depend_on_its_batch(drawn, seed):
    above, options = drawn
    composer = Composer([scene(), *above], **options)
    together = composer.compose([3, 1, 4], seed)
    alone = composer.compose([1], seed)
    torch.testing.assert_close(together.image[1], alone.image[0], rtol=0, atol=1e-5)
    assert torch.equal(together.index[1], alone.index[0])


@given(scenes(), st.sampled_from(["clean", "noisy"]), st.sampled_from(["keep-variance", "literal"]))
@settings(max_examples=40, deadline=None)
def test_a_photograph_keeps_every_pixel_that_no_object_owns(drawn, others, seams):
    above, options = drawn
    photo = torch.linspace(-1, 1, 3 * CANVAS[0] * CANVAS[1]).view(3, *CANVAS)
    composition = Composer([BoxRegion(StillImage(photo)), *above], **options, exchange=Exchange(others, seams)).compose(
        2
    )
    for image, own in zip(composition.image, composition.regions[0].visible, strict=True):
        assert torch.equal(image[own.expand_as(photo)], photo[own.expand_as(photo)])


@given(scenes())
@settings(max_examples=30, deadline=None)
def test_owners_partition_the_canvas_and_visible_lies_within_amodal_within_the_box(drawn):
    above, options = drawn
    composer = Composer([scene(), *above], **options)
    composition = composer.compose(2)
    assert torch.equal(sum(region.visible.int() for region in composition.regions), torch.ones(2, 1, *CANVAS).int())
    for region, result in zip(composer.regions, composition.regions, strict=True):
        inside = region.place.paste(torch.ones(1, 1, *region.place.size), CANVAS).bool()
        assert not (result.visible & ~result.amodal).any()
        assert not (result.amodal & ~inside).any()


@given(scenes(merges=(1.0,)))
@settings(max_examples=20, deadline=None)
def test_without_merging_the_background_is_that_of_the_background_alone(drawn):
    above, options = drawn
    alone = [step.states[0] for step in Composer([scene()], **options).steps(2)]
    beside = [step.states[0] for step in Composer([scene(), *above], **options).steps(2)]
    assert all(torch.equal(one, other) for one, other in zip(alone, beside, strict=True))
