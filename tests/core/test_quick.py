"""The first hour in Python: pictures of any kind, models by name, pictures of every step, devices as torch has them."""

import numpy as np
import pytest
import torch
from PIL import Image

from dmix_core import BoxRegion, Composer, Descent, Spec, StillImage, from_models
from dmix_core.animation import DenoisingGif
from dmix_core.devices import device_of
from dmix_core.errors import CompositionError, DeviceError, ImageError, PluginError
from dmix_core.images import as_image, read_image, to_uint8
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
SHORT = {"steps": 8, "timesteps": Descent()}


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "wall.png")
    return tmp_path / "wall.png"


def thing():
    return GaussianDenoiser(Spec((4, 4), 3, 1), mean=0.5, sd=0.4)


# ---- pictures -------------------------------------------------------------------------------------------------


def test_a_picture_is_the_same_however_it_is_given(photo):
    expected = read_image(photo)
    floats = PIXELS / 127.5 - 1
    for picture in (photo, str(photo), Image.open(photo), PIXELS, torch.from_numpy(PIXELS).permute(2, 0, 1)):
        assert torch.equal(as_image(picture), expected)
    assert torch.allclose(as_image(floats), expected, atol=1e-6)
    assert torch.allclose(as_image(PIXELS / 255, value_range=(0, 1)), expected, atol=1e-6)
    assert torch.equal(as_image(expected), expected)


def test_grey_becomes_rgb_and_alpha_stays_where_something_shows_through():
    grey = as_image(PIXELS[..., 0])
    assert grey.shape == (3, 10, 12)
    assert torch.equal(to_uint8(grey[1]), torch.from_numpy(PIXELS[..., 0]))
    alpha = np.dstack([PIXELS, np.full((10, 12), 255, np.uint8)])
    assert as_image(alpha).shape == (3, 10, 12)
    alpha[2, 3, 3] = 0
    assert float(as_image(Image.fromarray(alpha))[3, 2, 3]) == float(as_image(alpha)[3, 2, 3]) == -1
    assert StillImage.of(alpha).mask_channels == 1


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (PIXELS.astype(np.float32), "floats from 0 to 255 could mean several things.* 0..255 are given as uint8"),
        (PIXELS / 255, r"could mean several things.*state value_range=\(0, 1\)"),
        (torch.full((3, 4, 4), -1.5), "floats from -1.5 to -1.5 could mean several things"),
        (torch.tensor(float("nan")).expand(3, 4, 4), "floats from nan to nan"),
        (PIXELS.astype(np.int64), "of uint8 or floats; got torch.int64"),
        (PIXELS.transpose(2, 0, 1), r"got the shape \(3, 10, 12\). Put the channels last"),
        (torch.zeros(1, 3, 4, 4), r"got the shape \(1, 3, 4, 4\). Take one image of a batch"),
    ],
)
def test_what_could_mean_several_things_is_refused(picture, message):
    with pytest.raises(ImageError, match=f"(?s){message}"):
        as_image(picture)


def test_a_range_that_is_stated_is_checked():
    with pytest.raises(ImageError, match=r"floats from 0 to 2 does not lie in the range \(0, 1\)"):
        as_image(np.linspace(0, 2, 12).reshape(2, 2, 3), value_range=(0, 1))


# ---- models ---------------------------------------------------------------------------------------------------


def test_names_pictures_and_denoisers_make_a_composer(photo):
    stamp = np.zeros((4, 4, 4), np.uint8)
    stamp[1:3, 1:3] = 255
    composer = from_models(photo, [(thing(), (1, 2, 4, 4)), stamp, f"photo:{photo}"], size=(20, 24), **SHORT)
    assert [region.name for region in composer.regions] == ["background", "object", "object-2", "wall.png"]
    assert [tuple(region.place) for region in composer.regions] == [
        (0, 0, 24, 20),
        (1, 2, 4, 4),
        (10, 8, 4, 4),
        (6, 5, 12, 10),
    ]
    assert composer.compose(2).image.shape == (2, 3, 20, 24)


def test_pixels_that_no_object_owns_are_the_pictures(photo):
    composition = from_models(photo, [(thing(), (1, 2, 4, 4))], **SHORT).compose()
    below = composition.index[0] == 0
    assert torch.equal(to_uint8(composition.image[0])[:, below], torch.from_numpy(PIXELS).permute(2, 0, 1)[:, below])


def test_what_cannot_be_found_is_refused(photo):
    with pytest.raises(PluginError, match="No denoiser 'blowhol'"):
        from_models(photo, ["blowhol"])
    with pytest.raises(DeviceError, match="Cannot compute on the device 'tpu9'"):
        from_models(photo, device="tpu9")


def test_regions_without_a_name_are_numbered_from_bottom_to_top():
    regions = [BoxRegion(thing(), z=2), BoxRegion(GaussianDenoiser(Spec((8, 8), 3))), BoxRegion(thing(), z=1)]
    composer = Composer(regions, **SHORT)
    assert [region.name for region in composer.regions] == ["background", "object-1", "object-2"]
    assert regions[0].name == "background"
    with pytest.raises(CompositionError, match="names must differ"):
        Composer([BoxRegion(thing(), name="a"), BoxRegion(thing(), name="a", z=1)])


# ---- steps ----------------------------------------------------------------------------------------------------


def still_pair(**settings):
    scene = ConstantDenoiser(torch.full((3, 6, 8), -1.0))
    spot = ConstantDenoiser(torch.cat([torch.full((3, 2, 2), 1.0), torch.ones(1, 2, 2)]), mask_channels=1)
    return Composer([BoxRegion(scene), BoxRegion(spot, (1, 2, 2, 2), z=1)], **settings)


def test_every_step_shows_its_picture_before_and_while_regions_merge():
    composer = still_pair(steps=30)
    expected = np.zeros((6, 8, 3), np.uint8)
    expected[2:4, 1:3] = 255
    kinds = set()
    for step in composer.steps(2):
        clean, noisy = step.preview(), step.preview(noisy=True)
        assert [picture.size for picture in (*clean, *noisy)] == [(8, 6)] * 4
        kinds.add((step.predictions is None, step.merged is None))
        if step.predictions:
            assert all((np.asarray(picture) == expected).all() for picture in clean)
    assert kinds == {(True, True), (False, True), (False, False)}
    assert (np.asarray(noisy[0]) == expected).all()  # at level 0 nothing is noisy


def test_a_gif_has_so_many_frames_and_ends_with_the_image(tmp_path):
    composer = still_pair(steps=30)
    gif = DenoisingGif(composer, frames=7)
    for step in composer.steps():
        gif.add(step)
    with Image.open(gif.write(tmp_path / "denoising.gif")) as picture:
        assert picture.n_frames == 8
        picture.seek(7)
        last = picture.convert("RGB").resize((8, 6), Image.Resampling.NEAREST)
    assert (np.asarray(last) == np.asarray(step.preview()[0])).all()


# ---- devices --------------------------------------------------------------------------------------------------


class Network(GaussianDenoiser):
    """Notes where it is moved."""

    dtype = "float32"

    def to(self, device=None, dtype=None):
        self.moved = device
        self.dtype = dtype or self.dtype
        return self


class Around:
    def __init__(self, denoiser, other):
        self.denoiser, self.other = denoiser, other
        self.spec, self.noise = denoiser.spec, denoiser.noise

    def __call__(self, x_t, t):
        return self.denoiser(x_t, t)


def test_a_composer_computes_where_its_networks_are():
    """A device that a denoiser states counts, also that of one inside a wrapper; one that states none follows."""
    plain, elsewhere = Network(Spec((8, 8), 3)), Network(Spec((8, 8), 3))
    object.__setattr__(elsewhere, "device", torch.device("meta"))
    assert device_of([plain]) == torch.device("cpu")
    assert device_of([plain, Around(plain, elsewhere)]) == torch.device("meta")


def test_a_composer_moves_its_networks_as_torch_does():
    inner, other = Network(Spec((8, 8), 3)), Network(Spec((8, 8), 3))
    composer = Composer([BoxRegion(Around(inner, other))], **SHORT)
    assert (composer.device, composer.dtype) == (torch.device("cpu"), torch.float32)
    assert composer.to("cpu", torch.bfloat16) is composer
    assert (inner.moved, other.moved) == ("cpu", "cpu")
    assert (inner.dtype, other.dtype, composer.dtype) == (torch.bfloat16, torch.bfloat16, torch.bfloat16)
    assert torch.isfinite(composer.to(dtype=torch.float32).compose().image).all()
