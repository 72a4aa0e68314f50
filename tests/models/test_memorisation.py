"""Memorisation: figures in closed form, error rates, and models that copy or do not by construction."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmix_core.noise import NoiseSchedule
from dmix_core.protocols import Prediction, Spec
from dmix_core.testing import GaussianDenoiser
from dmix_data.datasets import ObjectCrops, Windows
from dmix_data.loader import Picture
from dmix_models.memorisation import (
    Comparison,
    MemorisationError,
    beta_binomial_tail,
    compare,
    compare_images,
    memorisation,
    rank_test,
    write,
)

# ---- figures ------------------------------------------------------------------------------------------------------


def test_distances_are_compared_group_by_group():
    samples = torch.tensor([[0.2, 1.0, 0.6], [0.9, 0.5, 0.7]])
    left_out = torch.tensor([[[0.0, 0.8, 1.0]], [[0.4, 0.1, 1.2]], [[1.0, 0.5, 0.0]]])  # one crop of each group
    found = compare(samples, left_out, own=[0, 1, 2])
    assert found.distances == pytest.approx([0.2, 0.5])
    assert found.ratios == pytest.approx([0.2 / 0.6, 0.5 / 0.7])
    assert found.left_out == pytest.approx([0.8, 0.4, 0.5])
    assert found.left_out_ratios == pytest.approx([0.8 / 0.9, 0.4 / 0.8, 0.5 / 0.75])
    assert found.median_ratio == pytest.approx(0.35 / 0.5)
    assert found.near.tolist() == [True, False]
    assert found.copies.tolist() == [True, False]  # 0.2 / 0.6 is below the lowest of the others, 0.4 / 0.8


def test_of_several_crops_of_a_group_the_median_counts():
    left_out = torch.tensor([[[9.0, 1.0, 2.0], [9.0, 3.0, 2.0], [9.0, 5.0, 4.0]]])
    found = compare(torch.ones(1, 3), left_out, own=[0])
    assert found.left_out.tolist() == [2]


def comparison(samples, left_out, far=4.0):
    samples, left_out = np.array(samples, float), np.array(left_out, float)
    return Comparison(samples, samples / far, left_out, left_out / far)


@pytest.mark.parametrize(
    ("values", "rank", "expected"), [(5, 1, 1 / 6), (38, 1, 1 / 39), (39, 2, 0.05), (199, 10, 0.05)]
)
def test_the_expected_share_is_5_percent_or_what_so_few_values_can_tell(values, rank, expected):
    of = comparison([0.5], np.arange(1, values + 1))
    assert (of.rank, of.near_below) == (rank, rank)
    assert of.expected == pytest.approx(expected)


def test_smooth_samples_are_near_but_no_copies():
    of = Comparison(np.full(9, 0.7), np.full(9, 0.98), np.array([1.0, 1.1, 1.2]), np.array([0.9, 0.95, 0.97]))
    assert of.near.all()
    assert not of.copies.any()
    assert of.rank_test < 0.05


def test_the_tail_counts_orders():
    for total, values in ((3, 4), (8, 5)):
        every = math.factorial(total) * math.factorial(values) / math.factorial(total + values)
        assert beta_binomial_tail(total, total, 1, values) == pytest.approx(every)
        assert beta_binomial_tail(1, total, 1, values) == pytest.approx(total / (total + values))  # the lowest of all
        assert beta_binomial_tail(0, total, 2, values) == pytest.approx(1)


def test_the_tail_agrees_with_a_simulation():
    draw = np.random.default_rng(0)
    lowest = np.sort(draw.random((20000, 20)), 1)[:, 1]
    counts = (draw.random((20000, 12)) < lowest[:, None]).sum(1)
    for count in (1, 2, 4):
        assert beta_binomial_tail(count, 12, 2, 20) == pytest.approx((counts >= count).mean(), abs=0.01)


def test_the_rank_test_is_mann_whitneys_of_half_as_many_values():
    assert rank_test(np.array([1.0, 3.0]), np.array([2.0])) == pytest.approx(0.5)
    assert rank_test(np.ones(4), np.ones(6)) == pytest.approx(0.5)
    # U = mn / 2 + z sqrt(mn (m + n + 1) / 12) with m = 10, n = 16 / 2, all samples below: U = mn
    z = 40 / math.sqrt(80 * 19 / 12)
    assert rank_test(np.zeros(10), np.ones(16)) == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)))
    assert rank_test(np.ones(10), np.zeros(16)) == pytest.approx(1 - rank_test(np.zeros(10), np.ones(16)))


def test_so_few_groups_can_tell_only_so_much():
    five = comparison(np.full(32, 0.5), [1, 1, 1, 1, 1])
    assert five.expected == pytest.approx(1 / 6)
    assert five.least_sure == 22 / 32
    assert beta_binomial_tail(22, 32, 1, 5) < 0.01 < beta_binomial_tail(21, 32, 1, 5)
    assert comparison([0.5] * 3, [1, 1, 1]).least_sure is None  # all three: 3! 3! / 6! = 0.05


def vectors(kind, groups, draw, samples=32, dimensions=60):
    """A comparison of points: training points are standard normal, samples fresh ones, copies, or near the mean."""
    training = draw.standard_normal((groups, dimensions))
    fresh = draw.standard_normal((samples, dimensions))
    points = {
        "fresh": fresh,
        "copies": training[draw.integers(groups, size=samples)] + 0.4 * fresh,
        "smooth": 0.3 * fresh,
    }[kind]
    between = [np.linalg.norm(each[:, None] - training, axis=2) for each in (points, training)]
    return compare(torch.from_numpy(between[0]), torch.from_numpy(between[1])[:, None], range(groups))


@pytest.mark.parametrize("groups", [5, 10, 60])
@pytest.mark.parametrize(("kind", "low", "high"), [("fresh", 0, 0.01), ("smooth", 0, 0.01), ("copies", 0.99, 1)])
def test_warnings_are_of_copies_alone(kind, low, high, groups):
    draw = np.random.default_rng(groups)
    warned = [vectors(kind, groups, draw).chance < 0.01 for _ in range(150)]
    assert low <= np.mean(warned) <= high


@pytest.mark.parametrize("groups", [5, 10, 60])
def test_the_rank_test_is_not_too_sure(groups):
    draw = np.random.default_rng(groups)
    p = np.array([vectors("fresh", groups, draw).rank_test for _ in range(400)])
    assert (p < 0.05).mean() < 0.1
    assert (p < 0.01).mean() < 0.03


# ---- models -------------------------------------------------------------------------------------------------------

SIZE = (12, 12)


@dataclass(frozen=True, eq=False)
class Repeating:
    """The exact denoiser of data that are one of these images, as a network that has learned them by heart predicts."""

    images: torch.Tensor
    spec: Spec
    noise: NoiseSchedule = field(default_factory=NoiseSchedule.linear)

    def __call__(self, x_t, t):
        a = float(self.noise.alpha_bar[t])
        squares = ((x_t[:, None] - a**0.5 * self.images) ** 2).flatten(2).sum(2)
        weights = torch.softmax(-squares / (2 * (1 - a)), 1)
        return Prediction(torch.einsum("bn,nchw->bchw", weights, self.images))


def grain(seed, height=14, width=15, sd=0.3, mean=0.1):
    values = np.random.default_rng(seed).normal(mean, sd, (height, width, 1))
    return ((values + 1) * 127.5).round().clip(0, 255).astype(np.uint8)


def pictures(count, class_name=None, first=0):
    named = (f"{class_name}-{first + i}.png" for i in range(count))
    return [Picture(Path(name), grain(first + i), class_name=class_name) for i, name in enumerate(named)]


def repeating(crops, copies=40):
    draw = np.random.default_rng(0)
    images = [crops.cut(item % len(crops), draw) for item in range(copies)]
    return Repeating(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1, Spec(SIZE, 3))


class Grey(GaussianDenoiser):
    """Fresh pictures of the kind that `grain` makes: all three channels are one."""

    def __call__(self, x_t, t):
        # the mean of three channels whose noise is independent has a third of its variance
        a = float(self.noise.alpha_bar[t])
        gain = a**0.5 * self.sd**2 / (a * self.sd**2 + (1 - a) / 3)
        return Prediction((self.mean + gain * (x_t.mean(1, keepdim=True) - a**0.5 * self.mean)).expand_as(x_t))


@pytest.mark.parametrize("count", [5, 12])
def test_a_model_that_repeats_its_training_crops_is_warned_of(count):
    crops = Windows(pictures(count), SIZE)
    (found,) = memorisation({None: repeating(crops)}, crops, samples=16, steps=20)
    assert found.warns
    assert found.verdict.startswith(
        "WARNING: the model repeats its training crops: 16 of 16 samples (100%) are near copies; of fresh"
    )
    assert (found.crops, found.groups) == (count, count)
    assert found.comparison.median_ratio < 0.2
    assert found.comparison.rank_test < 0.01
    light = found.nearest - found.nearest.mean((2, 3), keepdim=True)
    assert torch.allclose(light, found.samples - found.samples.mean((2, 3), keepdim=True), atol=0.05)


@pytest.mark.parametrize("count", [5, 12])
def test_fresh_samples_of_the_same_kind_are_not(count):
    crops = Windows(pictures(count), SIZE)
    (found,) = memorisation({None: Grey(Spec(SIZE, 3), 0.1, 0.3)}, crops, samples=16, steps=20)
    assert not found.warns
    assert found.verdict.startswith("No sign of copying: 0 of 16 samples")
    assert found.comparison.median_ratio == pytest.approx(1, abs=0.05)
    assert not found.comparison.copies.any()


def test_few_pictures_leave_some_copies_uncertain():
    crops = Windows(pictures(5), SIZE)
    copied = repeating(crops).images[:4]
    fresh = torch.from_numpy(np.stack([grain(50 + i, *SIZE) for i in range(8)])).permute(0, 3, 1, 2) / 127.5 - 1
    found = compare_images(torch.cat([copied, fresh.expand(-1, 3, -1, -1)]), crops, range(5))
    assert found.comparison.copies.tolist() == [True] * 4 + [False] * 8
    assert not found.warns
    assert found.verdict.startswith("Not certain: 4 of 12 samples (33%)")
    assert "With 5 groups of training crops, fewer than 75% copies cannot be told from chance." in found.verdict


def test_each_class_is_held_against_its_own_crops():
    crops = Windows([*pictures(4, "crack"), *pictures(4, "hole", first=20)], SIZE)
    cracks = Windows(crops.pictures[:4], SIZE)
    kinds = {"crack": repeating(cracks), "hole": repeating(cracks), "any": repeating(cracks)}
    crack, hole, any_of_them = memorisation(kinds, crops, samples=12, steps=10)
    assert [crack.warns, hole.warns, any_of_them.warns] == [True, False, True]
    assert [crack.groups, hole.groups, any_of_them.groups] == [4, 4, 8]
    assert not hole.comparison.copies.any()


def objects(count):
    y, x = np.mgrid[:24, :24]
    for i in range(count):
        mask = ((y - 12) ** 2 / (9 + 3 * i) + (x - 11) ** 2 / (25 - 3 * i) < 1).astype(np.uint8) * 255
        yield Picture(Path(f"{i}"), np.where(mask[..., None], 40, grain(i, 24, 24)).astype(np.uint8), mask)


def test_objects_are_compared_with_their_masks():
    crops = ObjectCrops([*objects(4)], (16, 16))
    draw = np.random.default_rng(1)
    cut = np.stack([crops.cut(i % 4, draw) for i in range(8)])
    images = torch.from_numpy(cut).permute(0, 3, 1, 2) / 127.5 - 1
    found = compare_images(images, crops, range(4))
    assert found.nearest.shape == (8, 4, 16, 16)
    assert torch.allclose(found.nearest, images, atol=1e-6)
    assert found.warns


# ---- files --------------------------------------------------------------------------------------------------------


def test_figures_and_pairs_are_written(tmp_path):
    crops = Windows([*pictures(4, "crack"), *pictures(4, "hole", first=20)], SIZE)
    found = memorisation({"crack": repeating(crops), "hole": repeating(crops)}, crops, samples=5, steps=5)
    record, *sheets = write(tmp_path, found)
    assert [path.name for path in sheets] == ["memorisation-crack.png", "memorisation-hole.png"]
    crack, hole = json.loads(record.read_text())["classes"]
    assert (crack["class"], crack["samples"], crack["groups"]) == ("crack", 5, 4)
    assert len(crack["distances"]) == 5
    assert len(crack["left_out"]) == 4
    assert hole["copies_share"] == float(found[1].comparison.copies.mean().round(4))
    with Image.open(sheets[0]) as sheet:
        width, height = sheet.size
    assert width > 9 * 96  # three pairs and their differences in a row
    assert height > 2 * 96


class Never(Grey):
    def __call__(self, x_t, t):
        raise AssertionError


def test_what_nothing_can_be_said_of_is_refused_before_a_sample_is_made():
    denoiser = Never(Spec(SIZE, 3))
    with pytest.raises(MemorisationError, match=r"are from 2 pictures or groups .* Expected at least 3"):
        memorisation({None: denoiser}, Windows(pictures(2), SIZE))
    with pytest.raises(MemorisationError, match=r"of 'hole' are from 0 pictures"):
        memorisation({"hole": denoiser}, Windows(pictures(4), SIZE))
    with pytest.raises(MemorisationError, match=r"The crops are \(8, 8\) .* paints \(12, 12\)"):
        memorisation({None: denoiser}, Windows(pictures(4), (8, 8)))
