"""Pictures, crops, augmentation and batches: geometry, refusals and repeatability."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dmix_core.errors import ImageError
from dmix_data.augment import Augmentation
from dmix_data.batches import Batches, order
from dmix_data.components import label
from dmix_data.datasets import ObjectCrops, Windows, digests, is_grey, shrink
from dmix_data.exceptions import DataError
from dmix_data.loader import Picture
from dmix_data.objects import box_of, part_crops, whole_crops
from dmix_data.options import DataOptions
from dmix_data.readers import read_images, read_pairs

DRAW = np.random.default_rng(0)


def pixels(height=40, width=50, channels=3):
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.squeeze()).save(path, **options)
    return path


def blob(height=40, width=50, at=(10, 20, 6, 5)):
    """A mask with a rectangle at (y, x, height, width)."""
    y, x, h, w = at
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + h, x : x + w] = 255
    return mask


def picture(mask=None):
    mask = blob() if mask is None else mask
    return Picture(Path("p"), pixels(*mask.shape), mask)


# ---- readers --------------------------------------------------------------------------------------------------


def test_pictures_are_read_in_order_as_they_are(tmp_path):
    save(tmp_path / "b/two.png", pixels())
    save(tmp_path / "a.bmp", pixels(channels=1))
    first, second = read_images(tmp_path)
    assert (first.grey, second.grey) == (True, False)
    assert np.array_equal(first.pixels, pixels(channels=1))
    assert np.array_equal(second.pixels, pixels())


def test_a_grey_picture_stored_as_rgb_is_grey(tmp_path):
    save(tmp_path / "a.png", np.repeat(pixels(channels=1), 3, axis=2))
    assert read_images(tmp_path)[0].pixels.shape == (40, 50, 1)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("x.jpg", "x.png"),
        ("images/x.png", "masks/x.png"),
        ("images/x.jpg", "masks/x_mask.png"),
        ("x.png", "x_mask.png"),
    ],
)
def test_pairs_are_found_and_their_masks_are_no_backgrounds(tmp_path, image, mask):
    save(tmp_path / image, pixels())
    save(tmp_path / mask, blob())
    (pair,) = read_pairs(tmp_path)
    assert pair.path == tmp_path / image
    assert np.array_equal(pair.mask, blob())
    assert [each.path for each in read_images(tmp_path)] == [tmp_path / image]


def test_a_suffix_of_ones_own(tmp_path):
    save(tmp_path / "images/x.png", pixels())
    save(tmp_path / "masks/x_GT.png", blob())
    assert len(read_pairs(tmp_path, DataOptions(mask_suffix="_GT"))) == 1


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("threshold:127", [False, False, True]), ("nonzero", [False, True, True]), ("index:8", [False, True, False])],
)
def test_mask_rules(tmp_path, rule, expected):
    save(tmp_path / "x.jpg", pixels(3, 3))
    save(tmp_path / "x.png", np.array([[0, 8, 255]] * 3, np.uint8))
    assert (read_pairs(tmp_path, DataOptions(mask_rule=rule))[0].mask[0] > 0).tolist() == expected


def test_a_palette_mask_is_read_by_index(tmp_path):
    save(tmp_path / "x.jpg", pixels(2, 2))
    mask = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    mask.putpalette([255] * 9)
    mask.save(tmp_path / "x.png")
    assert read_pairs(tmp_path, DataOptions(mask_rule="index:1"))[0].mask.tolist() == [[0, 255], [0, 255]]


def test_picture_and_mask_are_turned_upright_together(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees
    save(tmp_path / "x.jpg", pixels(), exif=exif)
    save(tmp_path / "x.png", blob(), exif=exif)
    (pair,) = read_pairs(tmp_path)
    assert pair.size == (50, 40)
    assert np.array_equal(pair.mask, np.rot90(blob(), -1))


def ambiguous(folder):
    save(folder / "x.jpg", pixels())
    save(folder / "x.png", blob())
    save(folder / "x_mask.png", blob())


def shared_mask(folder):
    save(folder / "x.jpg", pixels())
    save(folder / "x.jpeg", pixels())
    save(folder / "x.png", blob())


def maskless(folder):
    save(folder / "images/x.png", pixels())
    save(folder / "images/y.png", pixels())
    save(folder / "masks/x.png", blob())


def other_size(folder):
    save(folder / "x.jpg", pixels())
    save(folder / "x.png", blob(30, 30))


def empty_mask(folder):
    save(folder / "x.jpg", pixels())
    save(folder / "x.png", blob() // 255)  # 1 where others write 255


def colour_mask(folder):
    save(folder / "x.jpg", pixels())
    save(folder / "x.png", pixels())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (ambiguous, "'x.jpg' could have several masks: x.png, x_mask.png"),
        (shared_mask, "One mask fits several pictures: x.jpeg, x.jpg"),
        (maskless, "1 pictures .* no mask: y.png"),
        (other_size, "'x.jpg' is 50x40 pixels, but its mask 'x.png' is 30x30"),
        (empty_mask, "1 of 1 masks show no object under the rule 'threshold:127': x.png.*nonzero"),
        (colour_mask, "mode 'RGB'; expected one channel"),
    ],
)
def test_bad_pairs_are_refused_by_name(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises((DataError, ImageError), match=message):
        read_pairs(tmp_path)


def test_empty_masks_can_be_left_out(tmp_path):
    for name, mask in {"x": blob(), "y": 0 * blob()}.items():
        save(tmp_path / f"{name}.jpg", pixels())
        save(tmp_path / f"{name}.png", mask)
    assert [pair.path.stem for pair in read_pairs(tmp_path, DataOptions(skip_empty=True))] == ["x"]


def test_unreadable_folders_and_files_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere' is not a folder"):
        read_images(tmp_path / "nowhere")
    with pytest.raises(DataError, match="No pictures below"):
        read_images(tmp_path)
    whole = save(tmp_path / "cut.jpg", pixels(200, 200)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"cut\.jpg"):
        read_images(tmp_path)


@pytest.mark.parametrize("rule", ["threshold", "index:", "above:3", "threshold:-1", "nonzero:1"])
def test_unknown_mask_rules_are_refused(tmp_path, rule):
    save(tmp_path / "x.jpg", pixels())
    save(tmp_path / "x.png", blob())
    with pytest.raises(DataError, match="Unknown mask rule"):
        read_pairs(tmp_path, DataOptions(mask_rule=rule))


# ---- crops ------------------------------------------------------------------------------------------------------


def places_of(crop, source):
    """Where a crop lies in its source, pixel for pixel."""
    h, w = crop.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(source, (h, w), axis=(0, 1))
    return np.argwhere((windows == crop.transpose(2, 0, 1)).all((2, 3, 4)))


def test_windows_are_pixels_of_the_picture():
    windows = Windows([picture()], (16, 24))
    places = [places_of(windows.cut(0, DRAW), picture().pixels) for _ in range(20)]
    assert all(len(found) == 1 for found in places)
    assert len({tuple(found[0]) for found in places}) > 10


def test_image_and_mask_of_a_crop_are_one_window():
    source = picture()
    crops = ObjectCrops([source], (16, 16))
    together = np.dstack([source.pixels, source.mask])
    for _ in range(20):
        crop = crops.cut(0, DRAW)
        assert len(places_of(crop, together)) == 1
        mask = crop[..., 3] > 0
        assert mask.sum() == 30
        assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()


@pytest.mark.parametrize("kind", [Windows, ObjectCrops])
def test_a_place_holds_every_crop_that_is_cut_and_no_other(kind):
    crops = kind([picture(blob(20, 21, at=(6, 8, 5, 5)))], (16, 16))
    place = crops.place(0)
    allowed = {place.crop(corner, crops.size).tobytes() for corner in place.corners}
    cut = {crops.cut(0, np.random.default_rng(seed)).tobytes() for seed in range(400)}
    assert cut == allowed
    assert len(allowed) == len(place.corners)
    assert place.group == "p"


@given(
    objects=st.lists(st.tuples(*[st.integers(0, 25)] * 2, *[st.integers(1, 12)] * 2), min_size=1, max_size=3),
    size=st.tuples(st.integers(4, 20), st.integers(4, 20)),
)
def test_whole_crops_are_all_crops_that_cut_nothing(objects, size):
    masks = [blob(28, 28, at) > 0 for at in objects]
    everything = np.any(masks, axis=0)
    h, w = size

    def good(y, x):
        window = np.s_[y : y + h, x : x + w]
        rows, columns = everything[window], everything[window]
        crossed = (
            (y > 0 and rows[0].any())
            or (y + h < 28 and rows[-1].any())
            or (x > 0 and columns[:, 0].any())
            or (x + w < 28 and columns[:, -1].any())
        )
        return masks[0][window].sum() == masks[0].sum() and not crossed

    expected = [[y, x] for y in range(29 - h) for x in range(29 - w) if good(y, x)]
    assert whole_crops(everything, box_of(masks[0]), size).tolist() == expected


def test_objects_are_components_and_close_pieces_are_one():
    mask = blob(at=(5, 5, 4, 4)) | blob(at=(5, 11, 4, 4)) | blob(at=(30, 30, 5, 5))  # a gap of two columns
    assert len(ObjectCrops([picture(mask)], (20, 20), DataOptions(merge_distance=2))) == 3
    assert len(ObjectCrops([picture(mask)], (20, 20), DataOptions(merge_distance=3))) == 2


def test_diagonal_neighbours_touch():
    assert label(np.eye(4, dtype=bool)).max() == 1
    assert label(np.array([[1, 0, 1]], bool)).tolist() == [[1, 0, 2]]
    assert label(np.zeros((3, 3), bool)).max() == 0


def test_specks_and_large_objects_are_counted_and_specks_erased():
    mask = blob(at=(5, 5, 6, 6)) | blob(at=(5, 20, 2, 2)) | blob(at=(20, 10, 18, 18))
    crops = ObjectCrops([picture(mask)], (16, 16), DataOptions(min_area=16))
    assert crops.skipped == {"smaller than the crop": 0, "specks": 1, "too large or too close to others": 1}
    assert len(crops) == 1
    assert crops.pictures[0].mask[5:7, 20:22].max() == 0


@given(st.integers(0, 30), st.integers(0, 10), st.integers(20, 60), st.integers(3, 12))
def test_parts_of_large_objects_are_crops_along_them_that_show_some_and_not_too_much(x, y, width, height):
    mask = np.zeros((40, 70), bool)
    mask[y : y + height, x : x + width] = True
    corners = part_crops(mask, box_of(mask), (16, 16), 16)
    assert len(corners)
    for top, left in corners:
        shown = mask[top : top + 16, left : left + 16].sum()
        assert (top >= 0, left >= 0, top <= 24, left <= 54) == (True,) * 4
        assert 16 <= shown <= 128
    seen = np.zeros_like(mask)
    for top, left in corners:
        seen[top : top + 16, left : left + 16] = True
    assert seen[mask].any(0).all() if height <= 8 else True  # every column of a thin one is learned from


def test_large_objects_are_learned_from_in_parts_where_that_is_asked_for():
    mask = blob(at=(5, 5, 6, 6)) | blob(at=(20, 10, 4, 28))
    parts = ObjectCrops([picture(mask)], (16, 16), DataOptions(large_objects="parts"))
    assert (len(parts), parts.skipped["too large or too close to others"]) == (2, 0)
    assert parts.place(0).corners.tolist() == ObjectCrops([picture(mask)], (16, 16)).place(0).corners.tolist()
    assert parts.cut(1, DRAW)[..., 3].any()


def test_an_object_at_the_pictures_edge_may_touch_the_crops_edge():
    crops = ObjectCrops([picture(blob(at=(0, 20, 6, 5)))], (16, 16))
    assert crops.cut(0, DRAW)[0, :, 3].any()


def test_what_does_not_fit_is_refused_or_left_out():
    small, large = Picture(Path("small"), pixels(8, 8), blob(8, 8, (2, 2, 4, 4))), picture()
    with pytest.raises(
        DataError, match=r"1 of 2 pictures are smaller than the crop of 16x16 pixels \('small' is 8x8\)"
    ):
        Windows([small, large], (16, 16))
    assert len(Windows([small, large], (16, 16), DataOptions(skip_small=True))) == 1
    with pytest.raises(DataError, match="1 of 1 pictures are smaller"):
        ObjectCrops([small], (16, 16), DataOptions(skip_small=True))
    with pytest.raises(DataError, match="None of the 1 pictures has an object that fits"):
        ObjectCrops([large], (6, 6))


def test_shrinking_averages_the_picture_and_moves_the_mask_along():
    half = shrink(picture(blob(at=(10, 20, 6, 4))), 0.5)
    assert half.size == (20, 25)
    assert np.allclose(half.pixels, pixels().reshape(20, 2, 25, 2, 3).mean((1, 3)), atol=1)
    assert np.array_equal(half.mask, blob(20, 25, (5, 10, 3, 2)))


def test_digests_depend_on_every_pixel_and_on_nothing_else():
    other, masked = picture(), picture(blob(at=(10, 20, 6, 6)))
    other.pixels[3, 3, 0] ^= 1
    known = digests(Windows([picture()], (16, 16)))
    assert list(known) == ["p"]
    assert digests(Windows([picture()], (16, 24), DataOptions(scale=1.0))) == known
    assert digests(Windows([other], (16, 16))) != known != digests(Windows([masked], (16, 16)))


# ---- augmentation and batches -------------------------------------------------------------------------------------


def test_nothing_is_augmented_unless_declared():
    crop = pixels(8, 8, 4)
    assert all(np.array_equal(Augmentation()(crop, DRAW), crop) for _ in range(10))


@pytest.mark.parametrize(
    ("declared", "variants"),
    [({"flips": "horizontal"}, 2), ({"flips": "both"}, 4), ({"flips": "both", "quarter_turns": True}, 8)],
)
def test_declared_symmetries_move_image_and_mask_together(declared, variants):
    crop = pixels(8, 8, 3)
    crop = np.dstack([crop, crop[..., 0]])
    seen = [Augmentation(**declared)(crop, DRAW) for _ in range(100)]
    assert len({each.tobytes() for each in seen}) == variants
    assert all(np.array_equal(each[..., 0], each[..., 3]) for each in seen)


def test_gain_brightens_the_image_and_leaves_the_mask():
    crop = np.full((4, 4, 4), 100, np.uint8)
    seen = np.array([Augmentation(gain=(0.5, 3.0))(crop, DRAW)[0, 0] for _ in range(200)])
    assert 50 <= seen[:, 0].min() < 60
    assert seen[:, 0].max() == 255
    assert set(seen[:, 3]) == {100}
    with pytest.raises(ValueError, match="0 < low <= high"):
        Augmentation(gain=(2.0, 1.0))


def test_a_zoom_by_one_changes_nothing_and_by_two_shows_the_middle_half():
    crop = np.dstack([pixels(9, 9, 3), np.zeros((9, 9), np.uint8)])
    assert np.array_equal(Augmentation(zoom=(1.0, 1.0))(crop, DRAW), crop)
    assert np.array_equal(Augmentation(zoom=(2.0, 2.0))(crop, DRAW)[::2, ::2], crop[2:7, 2:7])
    assert np.array_equal(Augmentation(zoom=(0.5, 0.5))(crop, DRAW)[2:7, 2:7], crop[::2, ::2])


def test_what_lies_outside_is_mirrored():
    crop = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None], (9, 9, 3))
    small = Augmentation(zoom=(0.5, 0.5))(crop, DRAW)
    assert small[:, 0, 0].tolist() == [4, 2, 0, 2, 4, 6, 8, 6, 4]


@given(side=st.integers(8, 24), elastic=st.floats(0, 6), high=st.floats(1, 2), seed=st.integers(0, 2**32))
def test_a_warp_moves_image_and_mask_together_and_cuts_no_object(side, elastic, high, seed):
    random = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.uint8)
    top, left = random.integers(0, side - 4, 2)
    mask[top : top + 4, left : left + 4] = 255
    crop = np.dstack([pixels(side, side, 1), mask, mask, mask])
    warped = Augmentation(zoom=(1 / high, high), elastic=elastic)(crop, random)
    assert warped.shape == crop.shape
    assert np.array_equal(warped[..., 1], warped[..., 3])
    before, after = ([each[0], each[-1], each[:, 0], each[:, -1]] for each in (crop[..., 3], warped[..., 3]))
    assert all(one.any() or not other.any() for one, other in zip(before, after, strict=True))


def test_an_elastic_field_bends_by_as_much_as_it_states():
    ramp = np.broadcast_to(np.arange(0, 192, 3, dtype=np.uint8), (64, 64))
    crop = np.dstack([ramp] * 3)
    moved = [
        (Augmentation(elastic=2.0)(crop, DRAW)[16:48, 16:48, 0] - crop[16:48, 16:48, 0].astype(float)) / 3
        for _ in range(60)
    ]
    assert 1.2 < np.std(moved) < 2.4  # between nodes they cancel in part
    rough = np.abs(np.diff(moved, axis=1)).mean()
    assert rough < 0.5


@pytest.mark.parametrize(
    "wrong", [{"zoom": (0.0, 1.0)}, {"zoom": (2.0, 1.0)}, {"elastic": -1.0}, {"elastic": float("inf")}]
)
def test_a_warp_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"low <= high|greater than or equal to 0|finite"):
        Augmentation(**wrong)


def batches(seed=0, batch_size=6):
    crops = ObjectCrops([picture(), picture(blob(at=(20, 30, 5, 5)))], (16, 16))
    return Batches(crops, Augmentation(flips="both", gain=(0.8, 1.2)), levels=100, batch_size=batch_size, seed=seed)


def same(first, second):
    return all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_a_batch_depends_on_seed_and_step_alone():
    one = batches()
    later = list(one.ahead(2, 5))
    assert all(same(batch, batches()(step)) for batch, step in zip(later, range(2, 5), strict=True))
    assert not same(one(0), one(1))
    assert not same(one(0), batches(seed=1)(0))


def test_batches_are_made_ahead_but_none_that_nobody_learns_from(monkeypatch):
    monkeypatch.setattr("dmix_data.batches.LOADERS", 3)
    made, make = [], Batches.__call__
    monkeypatch.setattr(Batches, "__call__", lambda self, step, rows: [made.append(step), make(self, step, rows)][1])
    coming = batches().ahead(2, 9)
    next(coming)
    assert len(made) <= 4
    assert len(list(coming)) == 6
    assert sorted(made) == list(range(2, 9))
    assert list(batches().ahead(5, 5)) == []


def test_processes_share_a_batch_out():
    whole, even, odd = batches()(3), batches()(3, range(0, 6, 2)), batches()(3, range(1, 6, 2))
    assert all(torch.equal(w[::2], e) and torch.equal(w[1::2], o) for w, e, o in zip(whole, even, odd, strict=True))


def test_a_batch_holds_images_in_range_noise_and_levels():
    batch = batches(batch_size=500)(0)
    assert batch.clean.shape == batch.noise.shape == (500, 4, 16, 16)
    assert batch.clean.min() >= -1
    assert batch.clean.max() <= 1
    assert set(batch.clean[:, 3].unique().tolist()) == {-1, 1}
    assert batch.noise.std().item() == pytest.approx(1, abs=0.01)
    assert (batch.t.min(), batch.t.max()) == (1, 100)


@given(seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 1000), length=st.integers(1, 50))
def test_every_item_comes_once_in_an_epoch(seed, epoch, length):
    assert sorted(order(seed, epoch, length)) == list(range(length))


def test_epochs_differ_in_order():
    assert order(0, 0, 50) != order(0, 1, 50)


# ---- a real data set ----------------------------------------------------------------------------------------------


def test_magnetic_tiles(shared):
    tiles = shared / "data/magnetic-tile"
    if not tiles.is_dir():
        pytest.skip("there are no magnetic tiles in shared/data")
    crops = ObjectCrops(read_pairs(tiles / "MT_Blowhole"), (32, 32))
    assert len(crops.pictures) == 59
    assert is_grey(crops)
    assert len(crops) + crops.skipped["too large or too close to others"] >= 59
    assert len(read_images(tiles / "MT_Break")) == 40  # the masks are none


def test_objects_that_are_too_small_are_named_with_their_numbers():
    speck = picture(blob(at=(10, 20, 3, 3)))
    with pytest.raises(DataError, match=r"1 are smaller than min_area, 16 pixels; the largest of these has 9"):
        ObjectCrops([speck], (16, 16))
    assert len(ObjectCrops([speck], (16, 16), DataOptions(min_area=9))) == 1
