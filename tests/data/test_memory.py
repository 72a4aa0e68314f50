"""Pictures that do not fit into the memory: what is learned from is the same, to the bit."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dmix_core.errors import ImageError
from dmix_data import memory
from dmix_data.components import label
from dmix_data.datasets import ObjectCrops, Windows, digests
from dmix_data.exceptions import DataError
from dmix_data.memory import Kept, Recent, packed
from dmix_data.options import DataOptions
from dmix_data.readers import read_images, read_pairs


@pytest.fixture
def limit(monkeypatch):
    """Set how many bytes stay in memory."""
    return lambda number: monkeypatch.setattr(memory, "MEMORY", number)


@pytest.fixture
def folder(tree):
    for number in range(6):
        tree.picture(f"images/{number}.png", seed=number)
        tree.mask(f"masks/{number}.png", at=(10, 5 + 4 * number, 6, 5))
    return tree.root


def kept(number, recent, log=None):
    """An array of 100 bytes that notes each time it is made."""

    def make():
        if log is not None:
            log.append(number)
        return np.full(100, number, np.uint8)

    return Kept(make, (100,), b"", recent)


# ---- what stays -------------------------------------------------------------------------------------------------


@given(order=st.lists(st.integers(0, 9), max_size=60))
def test_what_was_used_last_stays(order):
    made, recent, last = [], Recent(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "MEMORY", 399)  # three of them
        arrays = [kept(number, recent, made) for number in range(10)]
        for number in order:
            known, before = number in last, len(made)
            assert (arrays[number]() == number).all()
            assert len(made) - before == (not known)
            last = [*(each for each in last if each != number), number][-3:]
            assert recent.bytes == 100 * len(last)


def test_what_is_larger_than_the_memory_is_had_all_the_same(limit):
    limit(50)
    made, recent = [], Recent()
    large = kept(7, recent, made)
    assert large().tolist() == large().tolist() == [7] * 100
    assert made == [7, 7]
    assert recent.bytes == 0


@given(arrays(st.sampled_from([np.uint8, np.int32]), array_shapes(max_dims=2), elements=st.integers(0, 255)))
def test_a_packed_array_is_the_same_again(array):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "MEMORY", 0)
        again = packed(array, Recent())()
    assert again.dtype == array.dtype
    assert np.array_equal(again, array)


def test_a_mask_takes_a_hundredth_of_its_size(limit):
    limit(0)
    mask = np.zeros((480, 640), np.uint8)
    mask[100:300, 200:250] = 255
    unpack = packed(mask, Recent()).make
    data = next(cell.cell_contents for cell in unpack.__closure__ if isinstance(cell.cell_contents, bytes))
    assert len(data) < mask.nbytes / 100


# ---- what is learned from ---------------------------------------------------------------------------------------


def cuts(crops, count=3):
    return [crops.cut(item, np.random.default_rng(n)) for item in range(len(crops)) for n in range(count)]


CROPS = {
    "objects": lambda folder: ObjectCrops(read_pairs(folder), (16, 16)),
    "shrunk objects": lambda folder: ObjectCrops(read_pairs(folder), (8, 8), DataOptions(scale=0.5, min_area=4)),
    "windows": lambda folder: Windows(read_images(folder), (16, 16)),
    "shrunk windows": lambda folder: Windows(read_images(folder), (8, 8), DataOptions(scale=0.5)),
}


@pytest.mark.parametrize("make", CROPS.values(), ids=CROPS)
@pytest.mark.parametrize("number", [0, 9000], ids=["nothing stays", "a picture and a half stays"])
def test_crops_are_the_same_however_little_stays_in_memory(folder, limit, make, number):
    everything = make(folder)
    limit(number)
    little = make(folder)
    assert len(little) == len(everything) == 6
    assert all(np.array_equal(*pair) for pair in zip(cuts(little), cuts(everything), strict=True))
    assert digests(little) == digests(everything)


def test_many_pictures_take_no_more_than_the_limit(folder, limit):
    limit(20_000)  # of 48,000 bytes in all
    crops = ObjectCrops(read_pairs(folder), (16, 16))
    recent = crops.pictures[0].stored_pixels.recent
    assert all(picture.stored_pixels.recent is recent for picture in crops.pictures)
    for _ in range(3):
        cuts(crops)
        assert 10_000 < recent.bytes <= 20_000


def test_a_picture_that_changes_while_it_is_learned_from_is_refused(folder, tree, limit):
    limit(0)
    windows = Windows(read_images(folder), (16, 16))
    tree.picture("images/3.png", seed=9)
    with pytest.raises(DataError, match=r"3\.png' has changed since training began"):
        windows.cut(3, np.random.default_rng(0))


def test_a_picture_that_was_removed_is_named(folder, limit):
    limit(0)
    windows = Windows(read_images(folder), (16, 16))
    (folder / "images/3.png").unlink()
    with pytest.raises(ImageError, match=r"no picture .*3\.png"):
        windows.cut(3, np.random.default_rng(0))


# ---- components -------------------------------------------------------------------------------------------------


def flooded(mask, reach):
    """Components by walking from pixel to pixel, numbered by their last pixels."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    components = []
    while left:
        found, border = set(), [left.pop()]
        while border:
            y, x = border.pop()
            found.add((y, x))
            near = {each for each in left if abs(each[0] - y) <= reach and abs(each[1] - x) <= reach}
            left -= near
            border += near
        components.append(found)
    labels = np.zeros(mask.shape, int)
    for number, found in enumerate(sorted(components, key=max), 1):
        labels[tuple(zip(*found, strict=True))] = number
    return labels


@given(
    mask=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans()),
    reach=st.integers(1, 5),
)
def test_components_are_what_can_be_walked_through(mask, reach):
    assert label(mask, reach).tolist() == flooded(mask, reach).tolist()


def test_a_winding_component_is_one_until_it_is_cut():
    mask = np.zeros((201, 200), bool)
    mask[::2] = mask[1::4, -1] = mask[3::4, 0] = True
    assert label(mask).max() == 1
    mask[101, -1] = False
    assert label(mask).max() == 2
    assert label(mask, 2).max() == 1


def test_speckle_that_is_far_apart_takes_neither_time_nor_memory():
    mask = np.random.default_rng(0).random((600, 600)) < 0.3
    start = time.perf_counter()
    assert label(mask, 1024).max() == 1
    assert time.perf_counter() - start < 5
