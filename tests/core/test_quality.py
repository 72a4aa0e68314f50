import math

import torch

from dmix_core.mattes import grow
from dmix_core.quality import RING, visibility


def disc(radius: float = 6.0, size: int = 32) -> torch.Tensor:
    axis = torch.arange(size) - size / 2
    return (axis[:, None] ** 2 + axis**2 <= radius**2)[None, None]


def test_contrast_is_the_difference_of_the_means_in_grey_levels() -> None:
    mask = disc()
    image = torch.where(mask, -0.5, 0.25).expand(1, 3, 32, 32)
    assert visibility(image, mask).contrast.item() == torch.tensor(0.75 * 127.5)


def test_an_object_that_is_not_there_has_no_contrast_and_no_edge() -> None:
    texture = 0.1 * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    faded = visibility(texture, disc())
    assert faded.contrast.item() < 3
    assert math.isclose(faded.edge.item(), 1, abs_tol=0.3)
    assert math.isclose(faded.grain.item(), 1, abs_tol=0.3)


def test_a_cut_out_has_a_sharper_edge_than_a_soft_one() -> None:
    texture = 0.05 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    mask = disc(12, 64)
    hard = torch.where(mask, -0.6, 0.2)
    soft = torch.nn.functional.avg_pool2d(hard, 9, stride=1, padding=4, count_include_pad=False)
    assert visibility(texture + hard, mask).edge > 2 * visibility(texture + soft, mask).edge


def test_smooth_objects_in_a_grainy_scene_are_told() -> None:
    texture = 0.1 * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = disc()
    assert visibility(torch.where(mask, 0.0, texture), mask).grain.item() < 0.3


def test_samples_are_measured_one_by_one_and_empty_masks_give_nan() -> None:
    masks = torch.cat([disc(), torch.zeros_like(disc()), torch.ones_like(disc())])
    image = torch.where(disc(), -1.0, 1.0).expand(3, 1, 32, 32)
    contrast = visibility(image, masks).contrast
    assert contrast[0] == 255
    assert contrast[1:].isnan().all()


def test_the_ring_ends_where_it_says() -> None:
    point = torch.zeros(1, 1, 32, 32)
    point[..., 16, 16] = 1
    assert grow(point, 1 + RING).sum() == (2 * (1 + RING) + 1) ** 2
