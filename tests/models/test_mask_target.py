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


def test_a_soft_edge_is_the_mask_filtered_along_rows_and_columns():
    corner = -torch.ones(1, 1, 4, 4)
    corner[..., :2, :2] = 1
    edge = torch.tensor([1, 0.75, -0.75, -1])
    expected = (torch.outer(edge + 1, edge + 1) / 2 - 1)[None, None]
    assert torch.allclose(mask_target("soft", torch.cat([torch.zeros(1, 3, 4, 4), corner], 1), 3)[:, 3:], expected)


def test_a_hard_target_and_a_background_stay_as_they_are():
    clean = torch.rand(1, 4, 5, 5)
    assert mask_target("hard", clean, 3) is clean
    assert mask_target("soft", clean, 4) is clean
