"""Objects that stay inside their boxes: no mask along the sides that they may not cross."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmix_core import BoxRegion, Composer, HardMask, Spec, StillImage, TailResampling
from dmix_core.errors import CompositionError
from dmix_core.inside import Inside
from dmix_core.testing import GaussianDenoiser, check_wrapper

OBJECTS = GaussianDenoiser(Spec((12, 10), 3, 1))


@given(*[st.integers(0, 3)] * 4)
def test_the_mask_is_empty_along_the_sides_and_else_as_it_was(left, top, right, bottom):
    x = torch.randn(2, 4, 12, 10, generator=torch.Generator().manual_seed(1))
    plain, kept = (denoiser(x, 3) for denoiser in (OBJECTS, Inside(OBJECTS, left, top, right, bottom)))
    inner = (..., slice(top, 12 - bottom), slice(left, 10 - right))
    assert torch.equal(kept.clean[:, :3], plain.clean[:, :3])
    assert torch.equal(kept.clean[:, 3:][inner], plain.clean[:, 3:][inner])
    free = torch.ones(12, 10, dtype=torch.bool)
    free[inner] = False
    assert (kept.clean[:, 3, free] == -1).all()


def test_it_keeps_the_promises_of_wrappers():
    check_wrapper(Inside, OBJECTS)


def test_a_composed_object_crosses_no_side_that_it_may_not():
    background = StillImage(torch.zeros(3, 24, 24))
    region = BoxRegion(Inside(OBJECTS, 2, 0, 2, 2), (6, 6, 10, 12), "object", 1)
    rules = {"steps": 8, "timesteps": TailResampling(2, 1), "merge_from": 0.5, "merge": HardMask(0.2)}
    shown = Composer([BoxRegion(background), region], **rules).compose(8).index[:, 6:18, 6:16] > 0
    assert shown.any()
    assert shown[:, 0].any()  # the side that it may cross
    assert not any(side.any() for side in (shown[:, -2:], shown[..., :2], shown[..., -2:]))


@pytest.mark.parametrize(
    ("denoiser", "margins", "message"),
    [
        (GaussianDenoiser(Spec((12, 10), 3, 0)), (1, 1, 1, 1), "no mask"),
        (OBJECTS, (5, 1, 5, 1), "expected 0 or more at each, and some pixels between"),
        (OBJECTS, (0, -1, 0, 0), "expected 0 or more"),
    ],
)
def test_what_leaves_nothing_of_an_object_is_refused(denoiser, margins, message):
    with pytest.raises(CompositionError, match=message):
        Inside(denoiser, *margins)
