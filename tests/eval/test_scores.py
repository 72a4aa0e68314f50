"""Measures from counts, against scikit-learn on the pixels themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from dmix_eval.histograms import Seen, counts, edges
from dmix_eval.scores import MEASURES, Scores, resampled


def seen(said, mask, name="a", group="a"):
    return Seen(name=name, group=group, score=float(said.max()), defects=counts(said[mask]), rest=counts(said[~mask]))


@pytest.fixture
def maps():
    """Twelve maps (40, 40), four of them with a defect that is found with errors; values in the middle of bins."""
    random = np.random.default_rng(0)
    masks = np.zeros((12, 40, 40), bool)
    for number in range(4):
        masks[number, 10 : 14 + number, 10:20] = True
    logits = random.normal(-3, 1.5, masks.shape) + 3 * masks
    logits = np.floor(logits * 32) / 32 + 1 / 64
    return 1 / (1 + np.exp(-logits)), masks


@pytest.fixture
def scores(maps):
    return Scores([seen(said, mask, str(n), str(n // 2)) for n, (said, mask) in enumerate(zip(*maps, strict=True))])


def once(scores, name):
    return float(scores.figures(scores.once)[name][0])


def test_pixel_measures_are_those_of_the_pixels(scores, maps):
    said, masks = (each.ravel() for each in maps)
    precision, recall, _ = precision_recall_curve(masks, said)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    assert once(scores, "pixel AP") == pytest.approx(average_precision_score(masks, said), abs=1e-9)
    assert once(scores, "pixel AUROC") == pytest.approx(roc_auc_score(masks, said), abs=1e-9)
    assert once(scores, "F1-max") == pytest.approx(f1.max(), abs=1e-9)


def test_the_threshold_is_the_one_of_the_highest_f1(scores, maps):
    said, masks = (each.ravel() for each in maps)
    assert f1_score(masks, said >= scores.threshold()) == pytest.approx(once(scores, "F1-max"), abs=1e-9)
    pixels, above = scores.pixels_at(scores.threshold()), said >= scores.threshold()
    assert (pixels.found, pixels.defects) == (above[masks].sum(), masks.sum())
    assert pixels.false == above[~masks].sum()
    assert pixels.false_on_normal == above.reshape(maps[0].shape)[4:].sum()


def test_image_auroc_is_that_of_the_scores(scores, maps):
    labels = maps[1].any((1, 2))
    assert once(scores, "image AUROC") == pytest.approx(roc_auc_score(labels, scores.scores))


def test_weights_count_pictures_as_often(scores, maps):
    weights = np.random.default_rng(1).integers(0, 3, (1, 12)).astype(float)
    said, masks = (np.repeat(each, weights[0].astype(int), 0) for each in maps)
    expected = average_precision_score(masks.ravel(), said.ravel())
    assert scores.figures(weights)["pixel AP"][0] == pytest.approx(expected, abs=1e-9)
    labels = masks.any((1, 2))
    assert scores.figures(weights)["image AUROC"][0] == pytest.approx(roc_auc_score(labels, said.max((1, 2))))


def middles(logits):
    """Probabilities in the middle of bins, so that counting them loses nothing."""
    return 1 / (1 + np.exp(-(np.floor(logits * 32) / 32 + 1 / 64)))


def aupimo_by_its_definition(maps, masks, low=1e-5, high=1e-4):
    """Of each picture of a defect (Bertoldo et al., 2024, arXiv:2401.01984), threshold by threshold.

    The shared false positive rate of a threshold is the mean over normal pictures of the share of their pixels at or
    above it. A picture's true positive rate is integrated over the logarithm of that rate, from `low` to `high`, and
    divided by the integral of one that is always 1. Between two rates that exist the higher threshold counts.
    """
    normal = [said for said, mask in zip(maps, masks, strict=True) if not mask.any()]
    areas = []
    for said, mask in zip(maps, masks, strict=True):
        if not mask.any():
            continue
        area, rate, recall = 0.0, 0.0, 0.0  # above all values
        for threshold in sorted({float(value) for each in maps for value in each.ravel()}, reverse=True):
            following = sum(float(np.mean(each >= threshold)) for each in normal) / len(normal)
            if following > low:
                area += recall * (np.log(min(following, high)) - np.log(max(rate, low)))
            rate, recall = following, float(np.mean(said[mask] >= threshold))
            if rate >= high:
                break
        areas.append(area / np.log(high / low))
    return areas


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 9), st.integers(1, 8))
def test_aupimo_is_what_its_definition_says(seed, quality, count):
    random = np.random.default_rng(seed)
    maps, masks = [], []
    for number in range(3 + count):
        mask = np.zeros(random.integers(20, 160, 2), bool)  # of other sizes, which count alike
        mask[3:9, 5 : 8 + number] = number < 3
        masks.append(mask)
        maps.append(middles(random.normal(-3, 1.5, mask.shape) + quality * mask))
    found = Scores([seen(*each) for each in zip(maps, masks, strict=True)])
    # 65 levels: where a step lies between two of them, half of their distance may be missed
    assert once(found, "AUPIMO") == pytest.approx(np.mean(aupimo_by_its_definition(maps, masks)), abs=0.01)


def test_aupimo_is_anomalibs():
    """Theirs takes the middle of each step of the rate, and so a little more."""
    functional = pytest.importorskip(
        "anomalib.metrics.pimo.functional",
        reason="anomalib, whose AUPIMO ours is held against, is not installed",
        exc_type=ImportError,
    )
    random = np.random.default_rng(3)
    masks = np.zeros((44, 160, 160), bool)
    for number in range(4):
        masks[number, 20:40, 10 : 30 + number] = True
    logits = random.normal(-3, 1.5, masks.shape)
    logits[:4] += np.array([2, 4, 5, 6])[:, None, None] * masks[:4]
    logits = np.floor(logits * 32) / 32 + 1 / 64
    # theirs divides the range of values evenly, where logits have more levels for the surest pixels
    theirs = functional.aupimo_scores(torch.from_numpy(logits), torch.from_numpy(masks), num_thresholds=5000)[4]
    ours = [
        once(Scores([seen(middles(logits[number]), masks[number]), *normal]), "AUPIMO")
        for normal in [[seen(middles(logits[number]), masks[number]) for number in range(4, 44)]]
        for number in range(4)
    ]
    assert ours == pytest.approx(theirs[:4].tolist(), abs=0.01)
    assert max(ours) - min(ours) > 0.5


def test_a_perfect_map_has_all_measures_one():
    mask = np.zeros((20, 20), bool)
    mask[5:9, 5:9] = True
    perfect = Scores([seen(mask * 0.98 + 0.01, mask), seen(np.full((20, 20), 0.01), np.zeros_like(mask))])
    assert {name: round(once(perfect, name), 6) for name in MEASURES} == dict.fromkeys(MEASURES, 1.0)


def test_counts_keep_every_value_and_its_order():
    values = np.array([0.0, 1e-9, 0.2, 0.5, 0.999999999, 1.0])
    assert counts(values).sum() == len(values)
    at = np.repeat(edges(), counts(values))
    assert (np.diff(at) >= 0).all()
    assert at[2] <= 0.2 <= at[2] * 1.05


def test_a_result_is_the_same_after_json():
    mask = np.eye(8, dtype=bool)
    one = seen(np.linspace(0, 1, 64).reshape(8, 8), mask)
    again = Seen.model_validate_json(one.model_dump_json())
    assert (again.defects == one.defects).all()
    assert (again.rest == one.rest).all()


def test_resampling_draws_whole_groups_within_their_strata():
    groups, normal = list("aabbccdd"), [False] * 4 + [True] * 4
    weights = resampled(groups, normal, 50)
    assert (weights[:, ::2] == weights[:, 1::2]).all()
    assert (weights[:, :4].sum(1) == 4).all()
    assert (weights[:, 4:].sum(1) == 4).all()
    assert len(np.unique(weights, axis=0)) > 4
