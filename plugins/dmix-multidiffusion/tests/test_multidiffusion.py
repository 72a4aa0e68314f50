"""The rules keep the promises of merge rules and give the numbers of their papers' programs; so does the panorama."""

import re
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmix_core import Box, BoxRegion, Composer, Descent, Layer, NoiseSchedule, Prediction, Spec
from dmix_core.errors import DmixError
from dmix_core.registry import Registry
from dmix_core.testing import GaussianDenoiser, check_denoiser, check_merge_rule, check_wrapper
from dmix_multidiffusion import GaussianWindow, MultiDiffusion, Panorama, QuarticWindow
from dmix_multidiffusion.panorama import starts

RULES = [MultiDiffusion(), GaussianWindow(), GaussianWindow(0.3), QuarticWindow()]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_they_are_merge_rules(rule):
    check_merge_rule(rule, examples=20)


# ---- the numbers ---------------------------------------------------------------------------------------------------


def row(images, mattes):
    """Layers of one line."""
    pixels = torch.tensor(images).float()[:, None, None, None]
    masks = torch.tensor(mattes).float()[:, None, None, None]
    return [Layer(image * mask, mask) for image, mask in zip(pixels, masks, strict=True)]


def test_overlaps_are_averaged_as_in_multidiffusion():
    merged = MultiDiffusion()(row([[1, 2, 3, 4], [10, 20, 30, 40]], [[1, 1, 0, 0], [0, 1, 1, 0]]), 1.0)
    assert merged.canvas.flatten().tolist() == [1, 11, 30, 0]
    assert merged.weights[:, 0, 0, 0].tolist() == [[1, 0.5, 0, 1], [0, 0.5, 1, 0]]  # the bottom has what nobody covers


def test_the_gaussian_window_of_mixture_of_diffusers():
    window = GaussianWindow().window(torch.ones(1, 1, 8, 8).double())
    assert window.sum().item() == pytest.approx(63.999148, abs=1e-6)
    assert window.max().item() == pytest.approx(10.768962, abs=1e-6)


def test_the_quartic_window_of_mixture_of_diffusers():
    window = QuarticWindow().window(torch.ones(1, 1, 8, 8).double())[0, 0].diagonal().sqrt()
    assert window.tolist() == pytest.approx(
        [9.3e-5, 0.229604, 0.627547, 0.899999] * 1 + [0.899999, 0.627547, 0.229604, 9.3e-5], abs=1e-6
    )


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 3), st.integers(0, 3), st.sampled_from(RULES))
def test_a_window_lies_over_the_box_and_is_symmetric(height, width, x, y, rule):
    box = Box(x, y, width, height)
    matte = box.paste(torch.ones(2, 1, height, width).double(), (12, 12))
    window = box.crop(rule.window(matte))
    torch.testing.assert_close(window, rule.window(torch.ones(2, 1, height, width).double()))
    torch.testing.assert_close(window, window.flip(2, 3))
    assert window.min() > 0


def test_each_sample_has_its_own_box():
    matte = torch.zeros(2, 1, 1, 9)
    matte[0, ..., :3], matte[1, ..., 4:] = 1, 1
    (narrow,), (wide,) = (QuarticWindow().window(matte) * matte).squeeze(1)
    assert narrow.argmax() == 1
    assert wide.argmax() == 6


def test_a_variance_that_vanishes_is_refused():
    with pytest.raises(DmixError, match=r"variance is 0\.001; expected 0\.005 or more"):
        GaussianWindow(0.001)


@pytest.mark.parametrize(
    ("name", "rule"),
    [("multidiffusion", MultiDiffusion()), ("gaussian-window", GaussianWindow()), ("quartic-window", QuarticWindow())],
)
def test_they_are_found_by_name_where_they_are_installed(name, rule):
    made = Registry.load().create("merge rule", name)
    assert made == rule
    assert type(made) is type(rule)


# ---- a row of regions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_row_of_regions_ends_on_one_canvas(rule):
    model = GaussianDenoiser(Spec((8, 8)), 0.1, 0.3)
    regions = [BoxRegion(model, (4 * i, 0, 8, 8), f"tile {i}", i) for i in range(4)]
    composer = Composer(regions, size=(8, 20), steps=12, timesteps=Descent(), merge=rule, merge_from=0)
    *_, last = composer.steps(2)
    image = composer.finish(last).image
    for region, state in zip(regions, last.states, strict=True):
        torch.testing.assert_close(state, region.view(region.place.crop(image)), rtol=0, atol=1e-5)


# ---- the panorama --------------------------------------------------------------------------------------------------

SMALL = GaussianDenoiser(Spec((6, 5)), 0.2, 0.5)


@pytest.mark.parametrize("window", ["mean", "gaussian", "quartic"])
def test_it_is_a_denoiser_and_a_wrapper(window):
    check_denoiser(Panorama(SMALL, width=14, height=9, window=window))
    check_wrapper(partial(Panorama, window=window))


class Mean:
    """Predicts the mean of what it sees, with a mask channel and a learned variance."""

    spec, noise = Spec((6, 6), 1, 1), NoiseSchedule.linear()

    def __call__(self, x_t, t):
        mean = x_t.mean((2, 3), keepdim=True).expand_as(x_t)
        return Prediction(mean, mean[:, :1] / 2)


@settings(deadline=None, max_examples=15)
@given(st.integers(6, 30), st.integers(6, 14), st.integers(1, 6))
def test_overlapping_windows_are_averaged(width, height, stride):
    """Against the sum over the windows, counted in plain loops."""
    wide = Panorama(Mean(), width, height, stride, "mean")
    x_t = torch.randn(2, 2, height, width, generator=torch.Generator().manual_seed(0))
    sums, counts = torch.zeros_like(x_t), torch.zeros_like(x_t)
    for y in starts(height, 6, stride):
        for x in starts(width, 6, stride):
            place = ..., slice(y, y + 6), slice(x, x + 6)
            sums[place] += x_t[place].mean((2, 3), keepdim=True)
            counts[place] += 1
    clean, spread = wide(x_t, 500)
    torch.testing.assert_close(clean, sums / counts)
    torch.testing.assert_close(spread.expand_as(clean)[:, :1], clean[:, :1] / 2)


@given(st.integers(1, 20), st.integers(0, 80), st.integers(1, 20))
def test_windows_cover_a_side_evenly(part, more, stride):
    places = list(starts(part + more, part, stride))
    steps = [b - a for a, b in pairwise(places)]
    assert (places[0], places[-1]) == (0, more)
    assert all(0 < step <= stride for step in steps)
    assert max(steps, default=0) - min(steps, default=0) <= 1


def test_one_window_is_the_model_itself():
    x_t = torch.randn(2, 3, 6, 5)
    assert torch.equal(Panorama(SMALL)(x_t, 300).clean, SMALL(x_t, 300).clean)


def test_pixels_that_know_nothing_of_each_other_make_a_panorama_like_a_large_model():
    """Every window predicts the same of a pixel then, and the panorama is one region with one noise."""
    large = GaussianDenoiser(Spec((6, 15)), 0.2, 0.5)
    images = [
        Composer([BoxRegion(model)], steps=10).compose(2).image for model in (large, Panorama(SMALL, 15, stride=2))
    ]
    torch.testing.assert_close(*images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 4}, "width is 4; expected that of the model's grid, 5, or more"),
        ({"height": 5}, "height is 5; expected that of the model's grid, 6"),
        ({"stride": 0}, r"stride is 0; expected 1\.\.5 pixels"),
        ({"stride": 6}, r"stride is 6; expected 1\.\.5 pixels, so that windows leave nothing out"),
    ],
)
def test_what_cannot_be_painted_is_refused(given, message):
    with pytest.raises(DmixError, match=message):
        Panorama(SMALL, **given)


# ---- the README ----------------------------------------------------------------------------------------------------


def test_the_readmes_python(monkeypatch):
    """With a model in closed form instead of the bundled one, for speed."""
    monkeypatch.setattr("dmix_models.load", lambda name: GaussianDenoiser(Spec((64, 64)), 0.0, 0.2))
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE):
        exec(code, names)
    assert names["row"].image.shape == (1, 3, 64, 192)
    assert names["image"].shape == (1, 3, 64, 192)
