"""Where windows come from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmix_eval.detector_batches import augmented, batches, shares
from dmix_eval.detector_windows import AtSpots, Pasted, Perlin, Window, blended, cut, perlin
from dmix_eval.experiment_config import Addition, Row, Training
from dmix_eval.photographs import photograph, real_photographs

SIDE = 32


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def photos(real):
    return real_photographs(real / "train", ("blowhole",))


@given(st.integers(8, 60), st.integers(8, 60), st.integers(-5, 70), st.integers(-5, 70))
def test_a_window_has_its_size_wherever_it_is_cut(height, width, y, x):
    photo = photograph("a", np.zeros((height, width), np.uint8), np.zeros((height, width), bool), "a")
    assert cut(photo, (y, x), SIDE).image.shape == (SIDE, SIDE)


def test_a_window_in_the_middle_lies_around_its_pixel():
    image = np.arange(64 * 64, dtype=np.uint32).reshape(64, 64) % 251
    photo = photograph("a", image.astype(np.uint8), np.zeros((64, 64), bool), "a")
    assert (cut(photo, (30, 40), SIDE).image == image[14:46, 24:56]).all()


def test_windows_at_spots_show_the_defect(photos, random):
    defects = [each for each in photos if not each.normal]
    assert all(AtSpots(defects, SIDE).window(random).mask.any() for _ in range(20))


def test_pasting_changes_the_mask_alone(photos, random):
    defects, normal = ([each for each in photos if each.normal is bool(kind)] for kind in (0, 1))
    background = photograph("flat", np.full((72, 72), 200, np.uint8), np.zeros((72, 72), bool), "flat")
    window = Pasted(defects, [background], SIDE).window(random)
    assert window.mask.sum() > 20
    assert (window.image[~window.mask] == 200).all()
    assert window.image[window.mask].mean() < 120
    assert len(normal) == 6


def test_poisson_blending_keeps_gradients_and_the_border(random):
    mask = np.zeros((32, 32), bool)
    mask[12:20, 10:22] = True
    image = (100 + 30 * mask).astype(np.float32)
    result = blended(np.full((32, 32), 50, np.float32), image, mask)
    assert result == pytest.approx(np.where(mask, 80, 50), abs=1e-3)


def test_poisson_blending_of_the_background_itself_is_the_background(random):
    background = random.uniform(0, 255, (24, 24)).astype(np.float32)
    mask = np.zeros((24, 24), bool)
    mask[5:20, 3:18] = True
    assert blended(background, background, mask) == pytest.approx(background, abs=1e-3)


def test_painted_textures_change_the_mask_alone(photos, random):
    flat = photograph("flat", np.full((72, 72), 100, np.uint8), np.zeros((72, 72), bool), "flat")
    window = Perlin([flat], SIDE).window(random)
    assert 0 < window.mask.mean() < 0.5
    assert (window.image[~window.mask] == 100).all()


def test_perlin_noise_is_smooth_and_zero_at_the_cells_corners(random):
    noise = perlin(64, random)
    assert np.abs(noise[::32, ::32]).max() < 1e-6  # of every number of cells
    assert np.abs(np.diff(noise, axis=0)).max() < 0.5
    assert 0.1 < noise.std() < 0.6


@given(st.integers(0, 1000))
def test_image_and_mask_are_turned_alike(seed):
    random = np.random.default_rng(seed)
    mask = random.random((16, 16)) < 0.3
    window = augmented(Window((100 * mask).astype(np.float32), mask), random, 1.4)
    assert ((window.image > -1) == window.mask).all()


@pytest.mark.parametrize(("ratio", "windows"), [(0, 8), (0.25, 9), (1, 12), (4, 24)])
def test_additions_displace_no_real_window(photos, ratio, windows):
    training = Training(steps=2, side=SIDE)
    row = Row(name="a", add=(Addition(use="copy-paste", ratio=ratio),))
    assert [len(batch.images) for batch in batches(shares(row, training, photos, ()), training, 0)] == [windows] * 2


def test_a_fraction_of_a_window_is_due_every_few_steps(photos):
    training = Training(steps=8, side=SIDE)
    row = Row(name="a", add=(Addition(use="copy-paste", ratio=0.0625),))
    assert sum(len(batch.images) - 8 for batch in batches(shares(row, training, photos, ()), training, 0)) == 2


def test_rows_of_one_seed_learn_from_the_same_real_windows(photos):
    training = Training(steps=3, side=SIDE)
    rows = Row(name="a"), Row(name="b", add=(Addition(use="copy-paste", ratio=2),))
    plain, more = ([*batches(shares(row, training, photos, ()), training, 5)] for row in rows)
    for one, other in zip(plain, more, strict=True):
        assert (one.images == other.images[:8]).all()
        assert (one.masks == other.masks[:8]).all()


def test_synthetic_first_ends_with_real_windows_alone(photos):
    training = Training(steps=4, side=SIDE)
    row = Row(name="a", add=(Addition(use="perlin"),), schedule="synthetic-first")
    sizes = [len(batch.images) for batch in batches(shares(row, training, photos, ()), training, 0)]
    assert sizes == [12, 12, 8, 8]


def test_hard_negatives_show_the_twin_without_a_label(photos, generated):
    training = Training(steps=4, side=SIDE, defects=1, elsewhere=1)
    row = Row(name="a", add=(Addition(use="set", folder=generated, ratio=0, negatives=8),))
    for batch in batches(shares(row, training, photos, ()), training, 0):
        assert len(batch.images) == 10
        assert not batch.masks[2:].any()
