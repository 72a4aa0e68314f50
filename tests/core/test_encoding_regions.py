"""Regions whose grid is not of pixels: they decode to be laid, and encode what the others see."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

import dmix_core.composer
from dmix_core import Box, BoxRegion, Composer, Denoiser, Descent, HardMask, Merged, NoiseSchedule, Spec, StillImage
from dmix_core import TailResampling as Tail
from dmix_core.draws import normal
from dmix_core.errors import CompositionError, GeometryError
from dmix_core.geometry import resize
from dmix_core.hookspecs import hookimpl
from dmix_core.mattes import blend, stack
from dmix_core.recipe import Recipe
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


@dataclass(frozen=True, eq=False)
class Blocks(BoxRegion):
    """A region of latents that are blocks of pixels; its mask has one value for each block."""

    denoiser: Denoiser

    @property
    def canvas_spec(self):
        (height, width), channels, masks = self.denoiser.spec
        return Spec((2 * height, 2 * width), channels // 4, masks)

    def lay(self, clean, size):
        latents, mask = clean.split([self.denoiser.spec.image_channels, self.denoiser.spec.mask_channels], 1)
        return super().lay(torch.cat([self.decode(latents), wider(mask)], 1), size)

    def encode(self, picture):
        return self.inverse(to_depth(resize(self.place.crop(picture), self.canvas_spec.size)))

    def decode(self, latents):
        return to_space(latents)

    def inverse(self, blocks):
        return blocks


class Bent(Blocks):
    """Its latents are the inverse hyperbolic tangents of pixels."""

    def decode(self, latents):
        return torch.tanh(super().decode(latents))

    def inverse(self, blocks):
        return torch.atanh(blocks.clamp(-0.999, 0.999))


def square(side):
    """A mask (1, side, side) that is 1 in the middle and -1 around."""
    return F.pad(torch.ones(1, side - 2, side - 2), (1, 1, 1, 1), value=-1)


def latent(size, mean=0.2, sd=0.3, mask=None):
    """A denoiser of latents (12, h, w), Gaussian, with a mask (1, h, w) that is always this one."""
    return gaussian(size, 12, mean, sd, mask)


def gaussian(size, channels, mean, sd, mask=None):
    if mask is None:
        return GaussianDenoiser(Spec(size, channels), mean, sd)
    means = torch.cat([torch.full((channels, *size), float(mean)), mask])
    return GaussianDenoiser(Spec(size, channels, 1), means, torch.tensor([sd] * channels + [0.0]).view(-1, 1, 1))


def pair(kind=Bent):
    """A background of latents for 16 x 16 pixels, and an object of pixels whose mask covers whole blocks."""
    mask = wider(square(4))
    return [
        kind(latent((8, 8))),
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

    monkeypatch.setattr(dmix_core.composer, "normal", drawn)


def both_ways():
    """[(the same regions of pixels and with one of blocks, number of that)]"""
    mask, wide = square(4), wider(square(4))
    ground, thing = gaussian((16, 16), 3, 0.2, 0.3), gaussian((8, 8), 3, -0.4, 0.3, wide)
    pixels = [BoxRegion(ground), BoxRegion(thing, (4, 2, 8, 8), name="thing", z=1)]
    below = [Blocks(latent((8, 8), 0.2, 0.3)), pixels[1]]
    above = [pixels[0], Blocks(latent((4, 4), -0.4, 0.3, mask), (4, 2, 8, 8), name="thing", z=1)]
    return [(pixels, below, 0), (pixels, above, 1)]


@pytest.mark.parametrize("way", [0, 1], ids=["background", "object"])
@pytest.mark.parametrize("seams", ["keep-variance", "literal"])
@pytest.mark.parametrize(
    "walk", [Tail(4, 1), Descent(), lambda steps: [20, 9, 6, 4, 0, 5, 1, 0]], ids=["tail", "", "few"]
)
def test_with_a_linear_codec_and_hard_masks_it_is_a_region_of_pixels(blocks_of_the_same_noise, way, seams, walk):
    pixels, blocks, number = both_ways()[way]
    for step, other in zip(run(pixels, seams=seams, timesteps=walk), run(blocks, seams=seams, timesteps=walk)):
        for i, (state, expected) in enumerate(zip(other.states, step.states)):
            ours = to_space(state[:, :12]) if i == number else state[:, :3]
            torch.testing.assert_close(ours, expected[:, :3], rtol=0, atol=1e-5)
        if step.merged:
            torch.testing.assert_close(other.merged.canvas, step.merged.canvas, rtol=0, atol=1e-5)


# ---- any codec -----------------------------------------------------------------------------------------------------


def test_at_level_0_the_state_is_the_encoded_canvas():
    regions = pair()
    *_, last = run(regions, timesteps=Tail(4, 2))
    torch.testing.assert_close(last.states[0], regions[0].encode(last.merged.canvas), rtol=0, atol=1e-5)
    assert torch.equal(regions[1].view(last.merged.canvas), last.states[1][:, :3])


def test_at_soft_seams_both_have_their_share():
    """Half of a state is the region's own, half is the encoded picture that fills in the canvas for it."""

    class Half:
        def __call__(self, layers, progress):
            return blend(layers, stack([layer.matte / 2 for layer in layers]))

    below, above = torch.full((12, 8, 8), 0.3), torch.cat([torch.full((3, 16, 16), -0.5), torch.ones(1, 16, 16)])
    regions = [Bent(ConstantDenoiser(below)), BoxRegion(ConstantDenoiser(above, 1), name="thing", z=1)]
    *_, last = run(regions, merge=Half())
    canvas = (torch.tensor(0.3).tanh() - 0.5) / 2
    picture = -0.5 / 2 + canvas / 2
    torch.testing.assert_close(last.merged.canvas, canvas.expand(2, 3, 16, 16))
    torch.testing.assert_close(last.states[0], (0.3 / 2 + picture.atanh() / 2).expand(2, 12, 8, 8))


class Counting(Bent):
    """Notes when it encodes and decodes."""

    def __init__(self, *given):
        super().__init__(*given)
        object.__setattr__(self, "done", [])

    def decode(self, latents):
        self.done.append("decode")
        return super().decode(latents)

    def inverse(self, blocks):
        self.done.append("encode")
        return super().inverse(blocks)


def test_it_encodes_and_decodes_from_the_merging_on_and_not_before():
    region = Counting(latent((8, 8)))
    composer = Composer([region, pair()[1]], **SHORT)
    assert region.done == []
    for step in composer.steps(2):
        expected = ["decode", "encode"] if step.merged else []
        assert region.done == expected
        region.done.clear()


def test_before_the_merging_it_is_on_its_own():
    alone, together = run(pair()[:1], merge_from=1.0), run(pair())
    for step, other in zip(together, alone):
        if step.merged:
            break
        assert torch.equal(step.states[0], other.states[0])
    assert step.t == 6


@pytest.mark.parametrize("seams", ["keep-variance", "literal"])
def test_what_covers_nothing_changes_nothing(seams):
    regions = pair()
    nothing = gaussian((8, 8), 3, 0.0, 0.5, -torch.ones(1, 8, 8))
    steps = run([regions[0], BoxRegion(nothing, (4, 2, 8, 8), name="nothing", z=1)], seams=seams)
    for step, other in zip(steps, run(regions[:1], merge_from=1.0), strict=True):
        assert torch.equal(step.states[0], other.states[0])


def test_alone_its_picture_is_the_decoded_state():
    composer = Composer([Bent(latent((8, 8)))], **SHORT)
    *_, last = composer.steps(2)
    assert composer.size == (16, 16)
    assert torch.equal(composer.finish(last).image, torch.tanh(to_space(last.states[0])))


def test_the_noise_of_its_merged_states_is_that_of_their_level():
    below, above = torch.zeros(12, 8, 8), torch.cat([torch.zeros(3, 8, 8), torch.ones(1, 8, 8)])
    regions = [Bent(ConstantDenoiser(below)), BoxRegion(ConstantDenoiser(above, 1), (2, 4, 9, 9), name="thing", z=1)]
    table = NoiseSchedule.linear().respace(20).alpha_bar
    for step in run(regions, 200):
        if step.merged and step.s in (5, 3, 1):
            share = regions[0].view(step.merged.weights[0])[0, 0]
            for place in (share == 0, share == 1, (share > 0) & (share < 1)):
                variance = step.states[0][..., place].var().item()  # 24 000 values or more
                assert variance == pytest.approx(1 - table[step.s].item(), rel=0.04)


@st.composite
def boxed(draw):
    """A region of latents with a random mask, in any box of a canvas of 8 x 10, resized where it has to be."""
    width, height = draw(st.integers(1, 10)), draw(st.integers(1, 8))
    box = Box(draw(st.integers(0, 10 - width)), draw(st.integers(0, 8 - height)), width, height)
    grid = draw(st.sampled_from([(3, 3), (2, 4)]))
    return Bent(GaussianDenoiser(Spec(grid, 12, 1), 0.1, 0.5), box, "latents", 1, draw(st.sampled_from([None, 0.0])))


@given(boxed(), st.integers(0, 2**30))
@settings(max_examples=30)
def test_a_photograph_keeps_what_is_its_own_and_samples_do_not_depend_on_their_batch(region, seed):
    photo = torch.linspace(-1, 1, 240).view(3, 8, 10)
    composer = Composer([BoxRegion(StillImage(photo)), region], **SHORT)
    together, alone = composer.compose([3, 1], seed), composer.compose([1], seed)
    torch.testing.assert_close(together.image[1:], alone.image, rtol=0, atol=1e-4)
    for image, own in zip(together.image, together.regions[0].visible):
        assert torch.equal(image[own.expand_as(photo)], photo[own.expand_as(photo)])
    inside = region.support((8, 10)).bool()
    assert not (together.regions[1].amodal & ~inside).any()


class Brighter(HardMask):
    """A rule that gives the objects' pixels new values."""

    repaints = True

    def __call__(self, layers, progress):
        canvas, weights = super().__call__(layers, progress)
        return Merged(canvas + 0.3 * (1 - weights[0]), weights)


def test_what_a_rule_repaints_is_encoded():
    mask = square(4)
    regions = [
        BoxRegion(gaussian((16, 16), 3, 0.2, 0.3)),
        Bent(latent((4, 4), -0.4, 0.2, mask), (4, 2, 8, 8), name="thing", z=1),
    ]
    *_, last = run(regions, merge=Brighter())
    torch.testing.assert_close(last.states[1][:, :12], regions[1].encode(last.merged.canvas), rtol=0, atol=1e-4)


# ---- what is refused, and what goes around it ----------------------------------------------------------------------


def test_noisy_latents_cannot_be_laid_on_a_canvas():
    class Untouchable(GaussianDenoiser):
        def __call__(self, x_t, t):
            raise AssertionError("called")

    regions = [Bent(Untouchable(Spec((8, 8), 12)), name="latents"), pair()[1]]
    with pytest.raises(
        CompositionError, match=r"others is 'noisy'.* of region 'latents' are no pixels; expected 'clean'"
    ):
        Composer(regions, **SHORT, others="noisy")


def test_the_channels_of_a_canvas_are_those_of_pictures():
    grey = [Bent(GaussianDenoiser(Spec((8, 8), 4))), pair()[1]]
    with pytest.raises(CompositionError, match=r"image channels; got \{'background': 1, 'thing': 3\}"):
        Composer(grey, **SHORT)


def test_a_region_of_latents_outside_of_the_canvas():
    with pytest.raises(GeometryError, match="region 'background' leaves the canvas of 8x8"):
        Composer([Bent(latent((8, 8)))], size=(8, 8), **SHORT)


def test_a_region_without_a_support_is_laid_to_see_where_it_can_be():
    class Mute(Bent):
        support = None

    assert torch.equal(
        Composer([Mute(latent((8, 8))), pair()[1]], **SHORT).compose().image, Composer(pair(), **SHORT).compose().image
    )


def test_its_strip_shows_the_first_channels():
    composer = Composer(pair(), **SHORT)
    strip = DenoisingStrip(composer)
    for step in composer.steps():
        strip.add(step)
    assert {tile.mode for tile in strip._columns["0 %"][:1]} == {"RGB"}
    assert strip.picture().height > 3 * 192


class Wrapped:
    """A wrapper that knows nothing of latents."""

    def __init__(self, denoiser: Denoiser):
        self.denoiser, self.spec, self.noise = denoiser, denoiser.spec, denoiser.noise

    def __call__(self, x_t, t):
        return self.denoiser(x_t, t)


@pytest.mark.parametrize("wrap", [(), ({"use": "wrapped"},), ({"use": "wrapped"}, {"use": "wrapped"})])
def test_a_recipe_makes_the_region_that_its_denoiser_asks_for(wrap):
    class Latents(GaussianDenoiser):
        region_type = Bent

    class Plugin:
        @staticmethod
        @hookimpl
        def dmix_denoisers():
            return {
                "latents": lambda argument=None, *, device="cpu", dtype="float32": Latents(Spec((8, 8), 12), 0.2, 0.3)
            }

        @staticmethod
        @hookimpl
        def dmix_wrappers():
            return {"wrapped": Wrapped}

    registry = Registry.load()
    registry.register(Plugin, "latents")
    regions = [{"name": "a", "model": "latents", "wrap": wrap, "box": [1, 2, 16, 16], "z": 3, "listen_from": 0.5}]
    box = {"name": "b", "model": "latents", "box": [0, 0, 20, 20]}
    (_, region) = Recipe.from_data({"regions": [box, *regions], "size": [20, 20]}).composer(registry).regions
    assert type(region) is Bent
    assert (region.box, region.name, region.z, region.listen_from) == (Box(1, 2, 16, 16), "a", 3, 0.5)
