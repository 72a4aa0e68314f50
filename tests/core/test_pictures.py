"""Overlays, contact sheets and the strip of a denoising."""

import numpy as np
import pytest
import torch
from PIL import Image

from dmix_core import Box, BoxRegion, Composer, Descent, NoiseSchedule, Prediction, Spec, TailResampling
from dmix_core.images import PALETTE, index_picture, to_picture, to_uint8
from dmix_core.pictures import HANDY, LEGIBLE, contact_sheet, enlarge, fit, overlay
from dmix_core.strip import DenoisingStrip


class Constant:
    """A denoiser that always sees the same clean picture."""

    noise = NoiseSchedule.linear()

    def __init__(self, size, *values, masks=0):
        self.spec = Spec(size, len(values) - masks, masks)
        self.clean = torch.tensor(values)[:, None, None].expand(len(values), *size)

    def __call__(self, x_t, t):
        return Prediction(self.clean.expand_as(x_t))


def pair(**settings):
    regions = [
        BoxRegion(Constant((64, 64), 0.5, 0.5, 0.5)),
        BoxRegion(Constant((32, 32), -0.5, -0.5, -0.5, 1.0, masks=1), Box(16, 16, 32, 32), "spot", z=1),
    ]
    return Composer(regions, **settings)


def strip_of(composer, **settings):
    strip = DenoisingStrip(composer, **settings)
    for step in composer.steps(2, seed=3):
        strip.add(step)
    return strip, step


@pytest.mark.parametrize(("side", "enlarged"), [(64, 192), (100, 200), (256, 256)])
def test_small_pictures_are_enlarged_by_whole_numbers(side, enlarged):
    assert enlarge(Image.new("L", (2 * side, side))).size == (2 * enlarged, enlarged)


def test_enlarging_keeps_the_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (np.asarray(enlarge(Image.fromarray(pixels), 6))[::2, ::2] == pixels).all()


@pytest.mark.parametrize(
    ("size", "fitting"),
    [((64, 32), (384, 192)), ((384, 400), (384, 400)), ((1200, 800), (576, 384)), ((385, 2000), (384, 1995))],
)
def test_tiles_are_neither_tiny_nor_huge(size, fitting):
    assert fit(Image.new("L", size)).size == fitting


def test_shrinking_takes_means_of_colours_and_not_of_indices():
    stripes = np.tile(np.array([[0, 255]], np.uint8), (2 * HANDY, HANDY))
    assert set(np.unique(fit(Image.fromarray(stripes)))) <= {127, 128}
    index = torch.ones(2 * HANDY, 2 * HANDY, dtype=torch.uint8)
    assert fit(index_picture(3 * index)).getpixel((5, 5)) == PALETTE[3]


def test_overlay_tints_and_outlines_each_region_and_leaves_the_bottom_alone():
    image = torch.zeros(3, LEGIBLE, LEGIBLE)
    index = torch.zeros(LEGIBLE, LEGIBLE, dtype=torch.uint8)
    index[10:30, 10:30], index[50:60, 20:90] = 1, 2
    before = image.clone()
    pixels = np.asarray(overlay(image, index))
    assert (pixels[index.numpy() == 0] == 128).all()
    for region, (top, left) in {1: (10, 10), 2: (50, 20)}.items():
        assert tuple(pixels[top, left + 3]) == PALETTE[region]
        inside = pixels[top + 3, left + 3].astype(float)
        assert inside == pytest.approx(0.7 * 128 + 0.3 * np.array(PALETTE[region]), abs=1)
    assert torch.equal(image, before)


def test_an_object_at_the_edge_of_the_canvas_is_not_outlined_there():
    index = torch.ones(LEGIBLE, LEGIBLE, dtype=torch.uint8)
    pixels = np.asarray(overlay(torch.zeros(1, LEGIBLE, LEGIBLE), index))
    assert (pixels == pixels[0, 0]).all()
    assert tuple(pixels[0, 0]) != PALETTE[1]


def test_contact_sheet_lays_tiles_row_by_row_with_captions():
    tiles = [Image.new("L", (LEGIBLE, LEGIBLE), shade) for shade in (10, 90, 170)]
    plain, captioned = contact_sheet(tiles, 2), contact_sheet(tiles, 2, captions=["a", "b"])
    assert plain.width == captioned.width
    assert plain.height < captioned.height < plain.height + 30  # the second row has no captions
    step = (plain.width - 4) // 2
    centres = [plain.getpixel((4 + 90 + x * step, 4 + 90 + y * step))[0] for y in (0, 1) for x in (0, 1)]
    assert centres[:3] == [10, 90, 170]
    assert centres[3] not in (10, 90, 170)


def test_an_empty_cell_stays_empty():
    tile = Image.new("L", (20, 20))
    sheet = np.asarray(contact_sheet([tile, None, None, tile], 2))
    black = (sheet == 0).all(axis=2)
    assert black.sum() == 2 * tile.width * tile.height
    assert black[4:24, 4:24].all()
    assert black[28:48, 28:48].all()


def test_contact_sheet_makes_room_for_titles():
    tiles = [Image.new("L", (LEGIBLE, LEGIBLE))] * 2
    assert contact_sheet(tiles, 1, titles=["background", "a"]).width > contact_sheet(tiles, 1).width + 40


def test_the_strip_has_the_chosen_percentages_and_the_finished_picture():
    strip, last = strip_of(pair(steps=100, timesteps=TailResampling(5, 1)))
    assert [*strip._columns] == ["0 %", "50 %", "80 %", "89 %", "90 %", "95 %", "100 %"]
    cell = 192 + 4
    picture = strip.picture()
    assert picture.height == 4 + 18 + 4 * cell
    assert (picture.width - 8 * cell) > 40
    finished = np.asarray(picture)[22 : 22 + 192, -196:-4][::3, ::3]
    assert (finished == to_uint8(last.merged.canvas[0]).permute(1, 2, 0).numpy()).all()


def test_without_resampling_the_hundredth_percent_is_the_finished_picture():
    strip, _ = strip_of(pair(steps=100, timesteps=Descent()))
    picture = strip.picture()
    assert "100 %" not in strip._columns
    assert picture.width < 7 * 196 + 100


def test_the_backgrounds_mask_is_white_before_merging_and_one_minus_the_objects_after():
    strip, _ = strip_of(pair(steps=100))
    masks = {label: np.asarray(tiles[1]) for label, tiles in strip._columns.items()}
    assert (masks["89 %"] == 255).all()
    assert (masks["90 %"][48:144, 48:144] == 0).all()
    assert (masks["90 %"][:48] == 255).all()


def test_levels_that_fall_together_are_shown_once():
    strip, _ = strip_of(pair(steps=10))
    assert [*strip._columns] == ["0 %", "50 %", "80 %", "100 %"]


@pytest.mark.parametrize(
    ("walk", "columns"),
    [
        ([100, 60, 30, 20, 11, 10, 5, 2, 0], ["0 %", "40 %", "80 %", "89 %", "90 %", "95 %"]),
        ([100, 60, 30, 20, 11, 10, 5, 2, 0, 3, 0], ["0 %", "40 %", "80 %", "89 %", "90 %", "95 %", "98 %"]),
        ([100, 50, 0], ["0 %"]),
        ([100, 50, 100, 12, 0, 7, 0], ["0 %", "88 %"]),
    ],
)
def test_where_a_walk_leaves_levels_out_the_nearest_are_shown_as_what_they_are(walk, columns):
    strip, _ = strip_of(pair(steps=100, timesteps=lambda steps: walk))
    assert [*strip._columns] == columns
    assert strip._end == ("resampled" if walk.count(0) > 1 else "100 %")


def test_states_are_shown_clamped():
    composer = pair(steps=100)
    strip = DenoisingStrip(composer, row=1)
    first = next(composer.steps(2, seed=3))
    strip.add(first)
    shown = np.asarray(strip._columns["0 %"][0])[::3, ::3]
    assert (shown == np.asarray(to_picture(first.states[0][1].clamp(-1, 1)))).all()


def test_a_large_photograph_has_a_handy_strip():
    regions = [
        BoxRegion(Constant((800, 1200), 0.5, 0.5, 0.5)),
        BoxRegion(Constant((32, 32), -0.5, -0.5, -0.5, 1.0, masks=1), Box(16, 16, 32, 32), "spot", z=1),
    ]
    strip, _ = strip_of(Composer(regions, steps=4, timesteps=Descent()))
    assert {tile.size for tiles in strip._columns.values() for tile in tiles} == {(576, 384), (384, 384)}
    assert strip.picture().height == 4 + 18 + 4 * (384 + 4)


def test_an_object_without_a_mask_channel_has_no_row_for_one():
    regions = [
        BoxRegion(Constant((64, 64), 0.5)),
        BoxRegion(Constant((32, 16), -0.5), (0, 0, 16, 32), "patch", z=1),
    ]
    strip, _ = strip_of(Composer(regions, steps=20))
    assert [tile.size for tile in strip._columns["0 %"]] == [(192, 192), (192, 192), (96, 192)]
    assert strip.picture().height == 4 + 18 + 3 * 196
