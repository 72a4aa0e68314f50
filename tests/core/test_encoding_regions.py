"""Regions whose grid is not of pixels: they decode to be laid, and encode what the others see."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

import dmix_core.composer
from dmix_core import (
    Box,
    BoxRegion,
    Composer,
    Descent,
    Exchange,
    HardMask,
    Merged,
    NoiseSchedule,
    Spec,
    StillImage,
    Wrapper,
)
from dmix_core import TailResampling as Tail
from dmix_core.draws import normal
from dmix_core.errors import CompositionError, GeometryError
from dmix_core.hookspecs import hookimpl
from dmix_core.mattes import blend, stack
from dmix_core.recipe import Recipe
from dmix_core.region import encoded
from dmix_core.registry import Registry
from dmix_core.strip import DenoisingStrip
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser

SHORT = {"steps": 20, "timesteps": Tail(4, 1), "merge_from": 0.7}  # merges from level 6 on


def to_depth(picture):
    """Each 2 x 2 pixels as four channels."""
    return rearrange(picture, "b c (h p) (w q) -> b (c p q) h w", p=2, q=2)


def to_space(latents):
    return rearrange(latents, "b (c p q) h w -> b c (h p) (w q)", p=2, q=2)


def wider(mask):
    """One value for each of 2 x 2 pixels."""
    return mask.repeat_interleave(2, -1).repeat_interleave(2, -2)


@dataclass(frozen=True)
class Blocks:
    """Latents that are blocks of pixels; a mask has one value for each block."""

    channels: int = 3

    def size(self, grid):
        return 2 * grid[0], 2 * grid[1]

    def decode(self, clean):
        latents, mask = clean[:, : 4 * self.channels], clean[:, 4 * self.channels :]
        return torch.cat([self.straight(to_space(latents)), wider(mask)], 1)

    def encode(self, pictures):
        return self.bent(to_depth(pictures))

    def straight(self, pictures):
        return pictures

    def bent(self, latents):
        return latents


class Bent(Blocks):
    """Its latents are the inverse hyperbolic tangents of pixels."""

    def straight(self, pictures):
        return torch.tanh(pictures)

    def bent(self, latents):
        return torch.atanh(latents.clamp(-0.999, 0.999))


def square(side):
    """A mask (1, side, side) that is 1 in the middle and -1 around."""
    return F.pad(torch.ones(1, side - 2, side - 2), (1, 1, 1, 1), value=-1)


def latent(size, codec, mean=0.2, sd=0.3, mask=None):
    """A denoiser of latents (12, h, w), Gaussian, with a mask (1, h, w) that is always this one."""
    return gaussian(size, 12, mean, sd, mask, codec)


def gaussian(size, channels, mean, sd, mask=None, codec=None):
    if mask is None:
        return GaussianDenoiser(Spec(size, channels, codec=codec), mean, sd)
    means = torch.cat([torch.full((channels, *size), float(mean)), mask])
    return GaussianDenoiser(
        Spec(size, channels, 1, codec=codec), means, torch.tensor([sd] * channels + [0.0]).view(-1, 1, 1)
    )


class Latents(ConstantDenoiser):
    """Always predicts the same latents."""

    @property
    def spec(self):
        return super().spec._replace(codec=Bent())


def pair():
    """A background of latents for 16 x 16 pixels, and an object of pixels whose mask covers whole blocks."""
    mask = wider(square(4))
    return [
        BoxRegion(latent((8, 8), Bent())),
        BoxRegion(gaussian((8, 8), 3, -0.4, 0.3, mask), (4, 2, 8, 8), name="thing", z=1),
    ]


def run(regions, samples=2, seed=5, **options):
    return list(Composer(regions, **{**SHORT, **options}).steps(samples, seed))


# ---- a linear codec changes nothing --------------------------------------------------------------------------------


@pytest.fixture
def blocks_of_the_same_noise(monkeypatch):
    """Latents get the noise that pixels in their place would have got."""

    def drawn(shape, **key):
        channels, height, width = shape
        if channels < 12:
            return normal(shape, **key)
        pixels = normal((channels - 12 + 3, 2 * height, 2 * width), **key)
        return torch.cat([to_depth(pixels[:, :3]), pixels[:, 3:, ::2, ::2]], 1)

    def noise_of_region(shape, device, **key):
        return lambda purpose, index=0: drawn(shape, purpose=purpose, index=index, **key)

    monkeypatch.setattr(dmix_core.composer, "RegionNoise", noise_of_region)


def both_ways():
    """[(the same regions of pixels and with one of blocks, number of that)]"""
    mask, wide = square(4), wider(square(4))
    ground, thing = gaussian((16, 16), 3, 0.2, 0.3), gaussian((8, 8), 3, -0.4, 0.3, wide)
    pixels = [BoxRegion(ground), BoxRegion(thing, (4, 2, 8, 8), name="thing", z=1)]
    below = [BoxRegion(latent((8, 8), Blocks(), 0.2, 0.3)), pixels[1]]
    above = [pixels[0], BoxRegion(latent((4, 4), Blocks(), -0.4, 0.3, mask), (4, 2, 8, 8), name="thing", z=1)]
    return [(pixels, below, 0), (pixels, above, 1)]


@pytest.mark.parametrize("way", [0, 1], ids=["background", "object"])
@pytest.mark.parametrize("seams", ["keep-variance", "literal"])
@pytest.mark.parametrize(
    "walk", [Tail(4, 1), Descent(), lambda steps: [20, 9, 6, 4, 0, 5, 1, 0]], ids=["tail", "", "few"]
)
def test_with_a_linear_codec_and_hard_masks_it_is_a_region_of_pixels(blocks_of_the_same_noise, way, seams, walk):
    pixels, blocks, number = both_ways()[way]
    for step, other in zip(
        run(pixels, exchange=Exchange(seams=seams), timesteps=walk),
        run(blocks, exchange=Exchange(seams=seams), timesteps=walk),
        strict=True,
    ):
        for i, (state, expected) in enumerate(zip(other.states, step.states, strict=True)):
            ours = to_space(state[:, :12]) if i == number else state[:, :3]
            torch.testing.assert_close(ours, expected[:, :3], rtol=0, atol=1e-5)
        if step.merged:
            torch.testing.assert_close(other.merged.canvas, step.merged.canvas, rtol=0, atol=1e-5)


# ---- any codec -----------------------------------------------------------------------------------------------------


def test_at_level_0_the_state_is_the_encoded_canvas():
    regions = pair()
    *_, last = run(regions, timesteps=Tail(4, 2))
    torch.testing.assert_close(
        last.states[0], encoded(regions[0], regions[0].place.crop(last.merged.canvas)), rtol=0, atol=1e-5
    )
    assert torch.equal(regions[1].view(regions[1].place.crop(last.merged.canvas)), last.states[1][:, :3])


def test_at_soft_seams_both_have_their_share():
    """Half of a state is the region's own, half is the encoded picture that fills in the canvas for it."""

    class Half:
        def __call__(self, layers, progress):
            return blend(layers, stack([layer.matte / 2 for layer in layers]))

    below, above = torch.full((12, 8, 8), 0.3), torch.cat([torch.full((3, 16, 16), -0.5), torch.ones(1, 16, 16)])
    regions = [BoxRegion(Latents(below)), BoxRegion(ConstantDenoiser(above, 1), name="thing", z=1)]
    *_, last = run(regions, merge=Half())
    canvas = (torch.tensor(0.3).tanh() - 0.5) / 2
    picture = -0.5 / 2 + canvas / 2
    torch.testing.assert_close(last.merged.canvas, canvas.expand(2, 3, 16, 16))
    torch.testing.assert_close(last.states[0], (0.3 / 2 + picture.atanh() / 2).expand(2, 12, 8, 8))


class Counting(Bent):
    """Notes when it encodes and decodes."""

    def __init__(self):
        super().__init__()
        object.__setattr__(self, "done", [])

    def decode(self, clean):
        self.done.append("decode")
        return super().decode(clean)

    def encode(self, pictures):
        self.done.append("encode")
        return super().encode(pictures)


def test_it_encodes_and_decodes_from_the_merging_on_and_not_before():
    codec = Counting()
    composer = Composer([BoxRegion(latent((8, 8), codec)), pair()[1]], **SHORT)
    assert codec.done == []
    for step in composer.steps(2):
        expected = ["decode", "encode"] if step.merged else []
        assert codec.done == expected
        codec.done.clear()


def test_before_the_merging_it_is_on_its_own():
    alone, together = run(pair()[:1], merge_from=1.0), run(pair())
    for step, other in zip(together, alone, strict=True):
        if step.merged:
            break
        assert torch.equal(step.states[0], other.states[0])
    assert step.t == 6


@pytest.mark.parametrize("seams", ["keep-variance", "literal"])
def test_what_covers_nothing_changes_nothing(seams):
    regions = pair()
    nothing = gaussian((8, 8), 3, 0.0, 0.5, -torch.ones(1, 8, 8))
    steps = run([regions[0], BoxRegion(nothing, (4, 2, 8, 8), name="nothing", z=1)], exchange=Exchange(seams=seams))
    for step, other in zip(steps, run(regions[:1], merge_from=1.0), strict=True):
        assert torch.equal(step.states[0], other.states[0])


def test_alone_its_picture_is_the_decoded_state():
    composer = Composer([BoxRegion(latent((8, 8), Bent()))], **SHORT)
    *_, last = composer.steps(2)
    assert composer.size == (16, 16)
    assert torch.equal(composer.finish(last).image, torch.tanh(to_space(last.states[0])))


def test_the_noise_of_its_merged_states_is_that_of_their_level():
    below, above = torch.zeros(12, 8, 8), torch.cat([torch.zeros(3, 8, 8), torch.ones(1, 8, 8)])
    regions = [BoxRegion(Latents(below)), BoxRegion(ConstantDenoiser(above, 1), (2, 4, 9, 9), name="thing", z=1)]
    table = NoiseSchedule.linear().respace(20).alpha_bar
    for step in run(regions, 200):
        if step.merged and step.s in (5, 3, 1):
            share = regions[0].view(regions[0].place.crop(step.merged.weights[0]))[0, 0]
            for place in (share == 0, share == 1, (share > 0) & (share < 1)):
                variance = step.states[0][..., place].var().item()  # 24 000 values or more
                assert variance == pytest.approx(1 - table[step.s].item(), rel=0.04)


@st.composite
def boxed(draw):
    """A region of latents with a random mask, in any box of a canvas of 8 x 10, resized where it has to be."""
    width, height = draw(st.integers(1, 10)), draw(st.integers(1, 8))
    box = Box(draw(st.integers(0, 10 - width)), draw(st.integers(0, 8 - height)), width, height)
    grid = draw(st.sampled_from([(3, 3), (2, 4)]))
    return BoxRegion(
        GaussianDenoiser(Spec(grid, 12, 1, codec=Bent()), 0.1, 0.5),
        box,
        "latents",
        1,
        draw(st.sampled_from([None, 0.0])),
    )


@given(boxed(), st.integers(0, 2**30))
@settings(max_examples=30)
def test_a_photograph_keeps_what_is_its_own_and_samples_do_not_depend_on_their_batch(region, seed):
    photo = torch.linspace(-1, 1, 240).view(3, 8, 10)
    composer = Composer([BoxRegion(StillImage(photo)), region], **SHORT)
    together, alone = composer.compose([3, 1], seed), composer.compose([1], seed)
    torch.testing.assert_close(together.image[1:], alone.image, rtol=0, atol=1e-4)
    for image, own in zip(together.image, together.regions[0].visible, strict=True):
        assert torch.equal(image[own.expand_as(photo)], photo[own.expand_as(photo)])
    inside = Box(*region.box).paste(torch.ones(1, 1, *region.place.size), (8, 10)).bool()
    assert not (together.regions[1].amodal & ~inside).any()


class Brighter(HardMask):
    """A rule that gives the objects' pixels new values."""

    def __call__(self, layers, progress):
        canvas, weights, _ = super().__call__(layers, progress)
        change = 0.3 * (1 - weights[0]).expand_as(canvas)
        return Merged(canvas + change, weights, change)


def test_what_a_rule_repaints_is_encoded():
    mask = square(4)
    regions = [
        BoxRegion(gaussian((16, 16), 3, 0.2, 0.3)),
        BoxRegion(latent((4, 4), Bent(), -0.4, 0.2, mask), (4, 2, 8, 8), name="thing", z=1),
    ]
    *_, last = run(regions, merge=Brighter())
    torch.testing.assert_close(
        last.states[1][:, :12], encoded(regions[1], regions[1].place.crop(last.merged.canvas)), rtol=0, atol=1e-4
    )


# ---- what is refused, and what goes around it ----------------------------------------------------------------------


def test_noisy_latents_cannot_be_laid_on_a_canvas():
    class Untouchable(GaussianDenoiser):
        def __call__(self, x_t, t):
            raise AssertionError("called")

    regions = [BoxRegion(Untouchable(Spec((8, 8), 12, codec=Bent())), name="latents"), pair()[1]]
    with pytest.raises(
        CompositionError, match=r"others is 'noisy'.* of region 'latents' are no pixels; expected 'clean'"
    ):
        Composer(regions, **SHORT, exchange=Exchange("noisy"))


def test_the_channels_of_a_canvas_are_those_of_pictures():
    grey = [BoxRegion(GaussianDenoiser(Spec((8, 8), 4, codec=Bent(1)))), pair()[1]]
    with pytest.raises(CompositionError, match=r"image channels; got \{'background': 1, 'thing': 3\}"):
        Composer(grey, **SHORT)


def test_a_region_of_latents_outside_of_the_canvas():
    with pytest.raises(GeometryError, match="region 'background' leaves the canvas of 8x8"):
        Composer([BoxRegion(latent((8, 8), Bent()))], size=(8, 8), **SHORT)


def test_its_strip_shows_the_first_channels():
    composer = Composer(pair(), **SHORT)
    strip = DenoisingStrip(composer)
    for step in composer.steps():
        strip.add(step)
    assert {tile.mode for tile in strip._columns["0 %"][:1]} == {"RGB"}
    assert strip.picture().height > 3 * 192


class Wrapped(Wrapper):
    """A wrapper that knows nothing of latents."""

    def __call__(self, x_t, t):
        return self.denoiser(x_t, t)


@pytest.mark.parametrize("wrap", [(), ({"use": "wrapped"},), ({"use": "wrapped"}, {"use": "wrapped"})])
def test_a_wrapped_denoiser_of_latents_keeps_its_codec(wrap):
    class Plugin:
        @staticmethod
        @hookimpl
        def dmix_denoisers():
            return {"latents": lambda argument=None, *, device="cpu", dtype="float32": latent((8, 8), Bent())}

        @staticmethod
        @hookimpl
        def dmix_wrappers():
            return {"wrapped": Wrapped}

    registry = Registry.load()
    registry.register(Plugin, "latents")
    regions = [{"name": "a", "model": "latents", "wrap": wrap, "box": [1, 2, 16, 16], "z": 3, "listen_from": 0.5}]
    box = {"name": "b", "model": "latents", "box": [0, 0, 20, 20]}
    (_, region) = Recipe.from_data({"regions": [box, *regions], "size": [20, 20]}).composer(registry).regions
    assert region.denoiser.spec.codec == Bent()
    assert region.denoiser.spec.picture.size == (16, 16)
    assert (region.box, region.name, region.z, region.listen_from) == (Box(1, 2, 16, 16), "a", 3, 0.5)
