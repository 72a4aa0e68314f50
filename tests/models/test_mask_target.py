"""The mask as it is trained on."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from dmix_models.mask_target import mask_target

masks = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31)).map(
    lambda drawn: torch.randint(0, 2, (2, 1, *drawn[:2]), generator=torch.Generator().manual_seed(drawn[2])) * 2.0 - 1
)


@given(masks)
def test_a_soft_target_has_the_label_of_the_mask(mask):
    clean = torch.cat([torch.rand(2, 3, *mask.shape[2:]), mask], 1)
    target = mask_target("soft", clean, 3)
    assert torch.equal(target.sign()[:, 3:], mask)
    assert target.abs().max() <= 1
    assert torch.equal(target[:, :3], clean[:, :3])


def test_a_soft_edge_is_the_mean_of_3x3_pixels():
    half = torch.tensor([1.0, 1, -1, -1]).expand(1, 1, 4, 4)
    target = mask_target("soft", torch.cat([torch.zeros(1, 3, 4, 4), half], 1), 3)[:, 3:]
    assert torch.allclose(target, torch.tensor([1, 1 / 3, -1 / 3, -1]).expand(1, 1, 4, 4))


def test_a_line_of_one_pixel_stays_on_its_side():
    line = -torch.ones(1, 1, 3, 5)
    line[..., 2] = 1
    target = mask_target("soft", torch.cat([torch.zeros(1, 3, 3, 5), line], 1), 3)[0, 3, 1]
    assert torch.allclose(target, torch.tensor([-1, -1 / 3, 2 / 9, -1 / 3, -1]))


def test_a_hard_target_and_a_background_stay_as_they_are():
    clean = torch.rand(1, 4, 5, 5)
    assert mask_target("hard", clean, 3) is clean
    assert mask_target("soft", clean, 4) is clean
