"""The nearest crop: a definition in loops, invariances, and what is found of crops that were hidden."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from dmix_data.datasets import ObjectCrops, Place, Windows
from dmix_data.loader import Picture
from dmix_data.options import DataOptions
from dmix_models.nearest import Symmetry, Templates, nearest, symmetries


def grain(seed, height=20, width=23, channels=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def windows(count=3, size=(8, 8), channels=1):
    return Windows([Picture(Path(f"{i}.png"), grain(i, channels=channels)) for i in range(count)], size)


def places(crops):
    return [crops.place(item) for item in range(len(crops))]


def as_images(crops):
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def plain_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The root mean square difference once means and contrasts are equal; (h, w, 3) arrays."""
    first, second = (crop.astype(float) - crop.mean((0, 1)) for crop in (first, second))
    return float(np.sqrt(((first / first.std() - second / second.std()) ** 2).mean()))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (6, 9)])
def test_it_is_the_least_distance_over_all_crops_mirrored_and_turned(size, channels):
    crops = windows(2, size, channels)
    query = grain(99, *size, channels=3)
    found = nearest(as_images([query]), places(crops))
    for group, place in enumerate(places(crops)):
        turned = [np.rot90(query[:, ::-1] if way.mirrored else query, way.quarters) for way in symmetries(size)]
        if channels == 1:  # of a picture that is to be held against grey ones the mean is enough
            turned = [each.mean(2, keepdims=True).repeat(3, 2) for each in turned]
        cut = [place.crop(corner, size) for corner in place.corners]
        expected = min(plain_distance(crop, each) for crop in cut for each in turned)
        assert found.distances[0, group] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("way", symmetries((8, 8)))
def test_a_hidden_crop_is_found_and_shown_as_the_picture_is(way):
    crops = windows(4)
    place = crops.place(2)
    crop = as_images([place.crop((7, 11), (8, 8))])
    other_light = way(0.4 * crop - 0.3)
    found = nearest(other_light, places(crops))
    assert found.items == [2]
    assert found.groups == ["0.png", "1.png", "2.png", "3.png"]
    assert found.distances[0, 2] < 2e-3 < 0.5 < found.distances[0, [0, 1, 3]].min()
    assert torch.allclose(found.crops, way(crop), atol=1e-6)


def test_a_negative_is_at_distance_2_and_noise_at_root_2():
    picture = grain(0, 64, 64)
    alone = Place(picture, None, np.array([[0, 0]]), "a", None)
    image = as_images([alone.crop((0, 0), (64, 64))])
    noise = torch.randn(200, 1, 64, 64, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    r = Templates(torch.cat([-image, noise]), grey=True).correlations(image[0, :1])[:, 0, 0]
    distances = (2 - 2 * r).sqrt()
    assert distances[0] == pytest.approx(2, abs=1e-5)
    assert distances[1:].mean() == pytest.approx(math.sqrt(2), abs=0.01)
    assert r[1:].std() == pytest.approx(1 / 64, rel=0.2)  # of n independent pixels it is 1 / sqrt(n)


def test_what_is_flat_resembles_nothing():
    crops = Windows([Picture(Path("flat"), np.full((9, 9, 1), 77, np.uint8))], (8, 8))
    found = nearest(torch.cat([torch.zeros(1, 3, 8, 8), torch.rand(1, 3, 8, 8)]), places(crops))
    assert found.distances == pytest.approx(math.sqrt(2), abs=1e-6)


def test_image_and_mask_count_alike_and_only_crops_of_the_object_are_looked_at():
    mask = np.zeros((20, 23), np.uint8)
    mask[4:8, 3:6] = 255
    crops = ObjectCrops([Picture(Path("a"), grain(1), mask)], (8, 8), DataOptions(min_area=1))
    inside = as_images([crops.place(0).crop(crops.place(0).corners[3], (8, 8))])
    without = torch.cat([inside[:, :3], -torch.ones(1, 1, 8, 8)], 1)
    outside = as_images([crops.place(0).crop((12, 15), (8, 8))])
    same, half, none = nearest(torch.cat([inside, without, outside]), places(crops)).distances[:, 0].tolist()
    assert same < 2e-3
    assert half == pytest.approx(1, abs=1e-3)  # r is 1 for the image, 0 for the mask
    assert none > 0.7


def test_of_one_group_the_nearest_counts():
    first, second = (Place(grain(i), None, np.array([[3, 4], [5, 6]]), "tile", None) for i in range(2))
    query = as_images([second.crop((5, 6), (8, 8))])
    found = nearest(query, [first, second])
    assert found.groups == ["tile"]
    assert found.items == [1]
    assert found.distances.shape == (1, 1)


@pytest.mark.parametrize("way", [*symmetries((8, 8)), *symmetries((6, 9))])
def test_symmetries_can_be_undone(way):
    x = torch.arange(54.0).reshape(6, 9)
    assert torch.equal(way.undo(way(x)), x)


def test_a_square_has_eight_symmetries_and_another_rectangle_four():
    for size, count in (((3, 3), 8), ((2, 3), 4)):
        x = torch.arange(float(math.prod(size))).reshape(size)
        images = {tuple(way(x).flatten().tolist()) for way in symmetries(size)}
        assert len(images) == count
        assert all(way(x).shape == size for way in symmetries(size))
    assert Symmetry(False, 0) in symmetries((2, 3))
