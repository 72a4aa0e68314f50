"""The gradient-domain merge: a merge rule, equal to closed forms, and what it does in a composition."""

import re
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dmix_core import BoxRegion, Composer, Descent, HardMask, Layer, Spec
from dmix_core.errors import DmixError
from dmix_core.quality import grow as grown
from dmix_core.registry import Registry
from dmix_core.testing import ConstantDenoiser, GaussianDenoiser, check_merge_rule, layers
from dmix_poisson import Poisson
from dmix_poisson.membrane import membrane, neighbours

SIZE = (9, 11)
ROWS, COLUMNS = torch.meshgrid(torch.arange(9.0).double(), torch.arange(11.0).double(), indexing="ij")
HARMONIC = {  # the mean of a pixel's neighbours is the pixel
    "constant": torch.ones(SIZE).double(),
    "ramp": (2 * ROWS - COLUMNS) / 10,
    "saddle": (ROWS**2 - COLUMNS**2) / 50,
    "product": ROWS * COLUMNS / 50,
}


def masks(seed, batch=2, rim=1):
    """Random ones, which leave the border of the canvas free."""
    owned = torch.rand(batch, 1, *SIZE, generator=torch.Generator().manual_seed(seed)) < 0.6
    inner = torch.zeros_like(owned)
    inner[..., rim:-rim, rim:-rim] = True
    return owned & inner


def noise(seed, batch=2, channels=3):
    """Small enough that no limit is reached."""
    return 0.3 * torch.rand(batch, channels, *SIZE, generator=torch.Generator().manual_seed(seed)).double() - 0.15


@pytest.mark.parametrize("grow", [0, 2])
def test_it_is_a_merge_rule(grow):
    check_merge_rule(Poisson(grow=grow), examples=15)


# ---- closed forms --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(HARMONIC)), st.integers(0, 2**20), st.integers(0, 3))
def test_an_image_that_is_harmonically_off_comes_out_right(kind, seed, grow):
    """f = g + h has g's gradients up to h, joins at the contour, and there is no other such f."""
    below, owned = noise(seed), masks(seed, rim=1 + grow)
    above = Layer(below - HARMONIC[kind], owned.double())
    merged = Poisson(grow=grow)([Layer(below, torch.ones(2, 1, *SIZE).double()), above], 1.0)
    torch.testing.assert_close(merged.canvas, below, rtol=0, atol=1e-4)


def dense(below, image, owned):
    """The same equations, one image (H, W) at a time, by elimination."""
    height, width = owned.shape
    matrix, right = torch.eye(height * width).double(), torch.zeros(height * width).double()
    for p in owned.flatten().nonzero().flatten().tolist():
        y, x = divmod(p, width)
        matrix[p, p] = 0
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= u < width:
                matrix[p, p] += 1
                if owned[v, u]:
                    matrix[p, v * width + u] -= 1
                else:
                    right[p] += below[v, u] - image[v, u]
    return torch.linalg.solve(matrix, right).view(height, width)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_solves_the_equations(seed, dtype):
    below, image = noise(seed), noise(seed + 100)
    owned = torch.rand(2, 1, *SIZE, generator=torch.Generator().manual_seed(seed)) < 0.6  # also at the canvas' border
    h = membrane(below.to(dtype), image.to(dtype), owned, torch.ones_like(owned))
    for b, c in product(range(2), range(3)):
        torch.testing.assert_close(h[b, c].double(), dense(below[b, c], image[b, c], owned[b, 0]), rtol=0, atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**20))
def test_gradients_inside_are_the_objects(seed):
    """Wherever all neighbours are owned, the Laplacian is that of the object's layer."""
    below, image, owned = noise(seed), noise(seed + 1), masks(seed)
    canvas = Poisson(grow=0)([Layer(below, owned.double() * 0 + 1), Layer(image, owned.double())], 1.0).canvas
    inner = owned & (neighbours(owned.double()) == 4)
    assume(inner.any())  # of one mask in some thousands it is not
    laplacian = neighbours(canvas) - 4 * canvas - (neighbours(image) - 4 * image)
    assert (laplacian * inner).abs().max() < 1e-4


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**20))
def test_no_more_is_added_than_the_difference_at_the_contour(seed):
    """The maximum principle."""
    below, image, owned = noise(seed), noise(seed + 1), masks(seed)
    h = membrane(below, image, owned, torch.ones_like(owned))
    assert h.abs().max() <= (below - image).abs().max() + 1e-4
    assert (h[~owned.expand_as(h)] == 0).all()


def test_an_object_cut_off_by_its_box_goes_on_there():
    """Its region ends with it, so nothing is known of the step at the border, and none is made."""
    below = torch.full((1, 1, 5, 7), 0.25)
    above = Layer(torch.zeros(1, 1, 5, 7), torch.zeros(1, 1, 5, 7))
    above.image[..., 2:4, 2:5], above.matte[..., 2:4, 2:5] = -0.5, 1
    merged = Poisson()([Layer(below, torch.ones_like(below)), above], 1.0)
    torch.testing.assert_close(merged.canvas, below, rtol=0, atol=1e-5)


def test_an_object_all_over_the_canvas_stays_as_it_is():
    images = noise(0), noise(1)
    merged = Poisson()([Layer(image, torch.ones(2, 1, *SIZE).double()) for image in images], 1.0)
    assert torch.equal(merged.canvas, images[1])


# ---- as a rule -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(layers(), st.sampled_from([0.2, 0.5, 1.0]), st.integers(0, 2))
def test_owners_are_those_of_the_hard_mask_and_what_is_far_from_objects_is_left_alone(layers, threshold, grow):
    hard, merged = HardMask(threshold)(layers, 0.5), Poisson(threshold, grow)(layers, 0.5)
    assert torch.equal(merged.weights, hard.weights)
    objects = sum((layer.matte >= threshold).float() for layer in layers[1:]) + torch.zeros_like(layers[0].matte)
    far = (grown(objects, grow) == 0).expand_as(merged.canvas)
    assert torch.equal(merged.canvas[far], hard.canvas[far])


def test_what_is_near_an_object_is_repainted_and_belongs_to_the_bottom():
    below, image, matte = torch.zeros(1, 1, *SIZE), noise(0, 1, 1).float(), torch.zeros(1, 1, *SIZE)
    matte[..., 4:6, 4:7] = 1
    canvas, weights, change = Poisson(grow=2)([Layer(below, matte * 0 + 1), Layer(image, matte)], 1.0)
    assert torch.equal(weights[1], matte)
    assert torch.equal(change, canvas - matte * image)
    assert torch.equal(canvas != 0, grown(matte, 2) > 0)


def test_the_canvas_stays_within_its_range():
    below = torch.full((1, 1, *SIZE), -0.9)
    image = torch.full((1, 1, *SIZE), 0.5)
    matte = torch.zeros(1, 1, *SIZE)
    matte[..., 2:6, 2:6], image[..., 3:5, 3:5] = 1, 0.0
    canvas = Poisson(grow=0)([Layer(below, matte * 0 + 1), Layer(image, matte)], 1.0).canvas
    assert canvas.min() == -1  # -0.9 - 0.5 without a limit
    assert canvas[0, 0, 2, 2].item() == pytest.approx(-0.9, abs=1e-4)


def test_less_than_nothing_around_an_object_is_refused():
    with pytest.raises(DmixError, match=r"grow is -1; expected 0 .* or more pixels"):
        Poisson(grow=-1)
    with pytest.raises(DmixError, match="threshold is 0"):
        Poisson(0)


def test_it_is_found_by_name_where_it_is_installed():
    made = Registry.load().create("merge rule", "poisson", {"threshold": "0.3", "grow": "1"})
    assert made == Poisson(0.3, 1)


# ---- in a composition ----------------------------------------------------------------------------------------------


def scene():
    """A bright disc in a brighter patch, over a dark background: the patch around the disc is 0.3 too bright."""
    axis = torch.linspace(-1, 1, 8)
    disc = (axis[:, None] ** 2 + axis**2 < 0.6).float()[None]
    thing = torch.cat([(0.1 + 0.2 * disc).expand(3, 8, 8), 2 * disc - 1])
    below = ConstantDenoiser(torch.full((3, 12, 12), -0.2))
    return [BoxRegion(below), BoxRegion(ConstantDenoiser(thing, 1), (2, 3, 8, 8), "thing", 1)]


@pytest.mark.parametrize("merge_from", [0.0, 0.5])
def test_all_views_end_in_the_light_of_the_background(merge_from):
    regions = scene()
    composer = Composer(regions, steps=10, timesteps=Descent(), merge=Poisson(), merge_from=merge_from)
    *_, last = composer.steps(2)
    image, owned = composer.finish(last).image, composer.finish(last).regions[1].visible.expand(2, 3, 12, 12)
    torch.testing.assert_close(image, torch.where(owned, 0, -0.2), rtol=0, atol=1e-4)
    for region, state in zip(regions, last.states, strict=True):
        torch.testing.assert_close(state[:, :3], region.view(region.place.crop(image)), rtol=0, atol=1e-5)


# ---- the README ----------------------------------------------------------------------------------------------------


def test_the_readmes_python(monkeypatch):
    """With models in closed form instead of the bundled ones, for speed."""
    blowhole = GaussianDenoiser(Spec((64, 64), 3, 1))
    defects = SimpleNamespace(with_label={"blowhole": blowhole}.get)
    models = {"tiles": GaussianDenoiser(Spec((64, 64)), sd=0.1), "defects": defects}
    monkeypatch.setattr("dmix_models.load", models.get)
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE):
        exec(code, names)
    assert names["composition"].image.shape == (2, 3, 64, 64)
