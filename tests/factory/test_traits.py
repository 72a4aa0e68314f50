"""Traits of objects, and what is usual among real ones."""

import numpy as np
import pytest
import torch

from dmix_core.geometry import Box
from dmix_factory import GenerateConfig
from dmix_factory.generate_config import ConfigError
from dmix_factory.measured import RealObject, usual_traits
from dmix_factory.sample_checks import FLAGS, flags_of
from dmix_factory.shots import Shot
from dmix_factory.traits import FEWEST, Traits, limits_of, traits_of, unusual


def disc(radius: float, squeeze: float = 1.0, size: int = 40) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    return (x**2 + (y / squeeze) ** 2) < radius**2


def star() -> np.ndarray:
    mask = disc(5)
    mask[19:21, 4:36] = mask[4:36, 19:21] = True
    return mask


def like(contrast: float = -40.0, spread: float = 0.1) -> list[Traits]:
    """Thirty discs of about one kind."""
    draws = np.random.default_rng(0)
    made = [traits_of(disc(6 + draws.normal(0, 0.5), 1 + draws.normal(0, spread)), contrast) for _ in range(30)]
    return [each._replace(contrast=contrast + draws.normal(0, 5)) for each in made]


@pytest.mark.parametrize(
    ("mask", "contrast", "flags"),
    [
        (disc(6), -40.0, ()),
        (disc(6), None, ()),
        (disc(12), -40.0, {"large"}),
        (disc(2), -40.0, {"small"}),
        (disc(6), 40.0, {"bright"}),
        (disc(6), -100.0, {"dark"}),
        (star(), -40.0, {"ragged", "hollow"}),
        (disc(10, 0.35), -40.0, {"elongated", "ragged"}),
    ],
)
def test_each_trait_that_no_real_object_has_is_flagged(mask, contrast, flags):
    assert {*unusual(traits_of(mask, contrast), limits_of(like()))} == {*flags}
    assert {*flags} <= FLAGS.keys()


@pytest.mark.parametrize(("count", "most"), [(5, 0.11), (10, 0.08), (20, 0.06), (200, 0.035)])
@pytest.mark.parametrize("draw", ["normal", "uniform", "exponential"])
def test_few_real_objects_do_not_turn_down_what_is_like_them(count, most, draw):
    """The shares that `WIDENING` states."""
    draws = getattr(np.random.default_rng(1), draw)
    beyond = []
    for _ in range(60):
        low, high = limits_of([Traits(1, value, 1, 1, 0) for value in draws(size=count)])["contrast"]
        further = draws(size=200)
        beyond.append(((further < low) | (further > high)).mean())
    assert np.mean(beyond) < most


def test_the_sign_of_a_contrast_is_measured():
    index = torch.zeros(20, 20, dtype=torch.uint8)
    index[7:12, 7:12] = 1
    dark = Shot(torch.where(index > 0, -0.5, torch.zeros(3, 20, 20)), index, (Box(5, 5, 10, 10),))
    assert dark.contrast(1) == pytest.approx(-0.5 * 127.5)
    bright = {"contrast": (20.0, 90.0)}
    assert flags_of(dark, 1, 5, bright) == ("dark",)
    assert flags_of(dark, 1, 5, {"contrast": (-90.0, -20.0)}) == ()


def test_objects_are_held_against_their_class_where_it_has_enough():
    small = [RealObject(0, 0, 9, 9, each._replace(area=10), class_name="pore") for each in like()[:FEWEST]]
    large = [RealObject(0, 0, 9, 9, each._replace(area=1000), class_name="hole") for each in like()[: FEWEST - 1]]
    assert usual_traits([*small, *large], "pore")["area"] == pytest.approx((10, 10))
    assert usual_traits([*small, *large], "hole")["area"][1] > 500 > 20 > usual_traits(small, "hole")["area"][0]
    assert usual_traits(large, "hole") == {}


def test_a_licence_is_for_the_set_or_for_a_part():
    licence = GenerateConfig.from_data(
        {"backgrounds": "b", "objects": ["disc"], "n": 1, "licence": ["CC0-1.0", "photographs=ours"]}
    ).licence
    assert licence == {"set": "CC0-1.0", "photographs": "ours"}
    with pytest.raises(ConfigError, match="licence"):
        GenerateConfig.from_data({"backgrounds": "b", "objects": ["disc"], "n": 1, "licence": 3})
