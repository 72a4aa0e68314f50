"""The verdict on samples and losses that are made up: too short, right, too long."""

import numpy as np
import pytest
import torch

from dmix_models.verdict import (
    Evidence,
    Run,
    Verdict,
    binomial_tail,
    findings,
    grain_of,
    holes_of,
    judge,
    loss,
    pieces_of,
    roughness_of,
)

RUN = Run(1000, "epsilon", 50.0, {None: 60})


def tiles(count, seed, grain=0.05, spread=0.2, objects=True, speckles=0, holes=0):
    """Images (count, 4, 32, 32) of a grey level of their own with grain, and the mask of a disc."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    images = np.full((count, 4, 32, 32), -1.0)
    for image in images:
        image[:3] = random.normal(0, spread) + grain * random.normal(size=(1, 32, 32))
        disc = (y - random.integers(12, 20)) ** 2 + (x - random.integers(12, 20)) ** 2 < random.integers(20, 36)
        image[3][disc] = 1.0 if objects else -1.0
        for _ in range(speckles):
            image[3, random.integers(32), random.integers(32)] = 1.0
        for hole in np.argwhere(disc)[len(np.argwhere(disc)) // 2 :][:holes]:
            image[3, hole[0], hole[1]] = -1.0
    return torch.from_numpy(images).float()


CROPS = tiles(128, 0)


def lines(exponent, noise=0.02, count=100):
    """A loss that falls as a power of the steps."""
    random = np.random.default_rng(3)
    return [
        {"step": step, "quarters": [float(step**exponent * np.exp(noise * random.normal())) for _ in range(4)]}
        for step in range(10, 10 * count + 1, 10)
    ]


def verdict(samples, exponent=-0.02, run=RUN, **more):
    return judge(lines(exponent), [Evidence(None, samples, CROPS, **more)], run)


def wrong(found):
    return list(dict.fromkeys(finding.about for finding in found.findings if finding.fine is False))


def test_samples_like_the_crops_and_a_settled_loss_are_ready():
    found = verdict(tiles(32, 1))
    assert wrong(found) == []
    assert found.ready
    assert found.advice == []
    assert found.lines[0] == "The model is ready: nothing wrong was found."
    assert "60" in found.lines[-1]


def test_a_training_that_was_too_short_is_to_go_on():
    found = verdict(tiles(32, 1, grain=0.5, speckles=5), exponent=-0.5)
    assert wrong(found) == ["loss", "grain", "masks"]
    assert "still falling: twice the steps would change it by -29%" in found.lines[1]
    assert len(found.advice) == 1
    assert "2,000" in found.advice[0]


def test_a_training_that_was_too_long_is_to_be_cut_short():
    found = verdict(tiles(32, 1, speckles=5), copies="WARNING: the model repeats its training crops")
    assert wrong(found) == ["masks", "copies"]
    assert len(found.advice) == 1  # more steps would make more copies
    assert "fewer steps (half of 1,000)" in found.advice[0]


@pytest.mark.parametrize(
    ("changes", "about", "text"),
    [
        ({"spread": 0.6}, ["light"], "too scattered"),
        ({"grain": 0.01}, ["grain"], "too smooth"),
        ({"objects": False}, ["objects"], "32 of 32 samples show none"),
        ({"holes": 1}, ["masks"], "holes"),
        ({"speckles": 2}, ["masks"], "pieces"),
    ],
)
def test_each_fault_is_found_and_no_other(changes, about, text):
    found = verdict(tiles(32, 1, **changes))
    assert wrong(found) == about
    assert any(text in finding.text for finding in found.findings if finding.fine is False)


def test_the_advice_depends_on_what_the_loss_still_promises():
    dark = tiles(32, 1)
    dark[:, :3] -= 0.7
    assert "--prediction v" in verdict(dark).advice[0]
    assert "more steps" in verdict(dark, run=RUN._replace(prediction="v")).advice[0]
    speckled = tiles(32, 1, speckles=5)
    assert any("larger --preset" in text for text in verdict(speckled).advice)
    assert not any("larger --preset" in text for text in verdict(speckled, exponent=-0.5).advice)


def test_fresh_pictures_of_the_same_kind_are_hardly_ever_found_wrong():
    found = [findings(Evidence("crack", tiles(12, seed), CROPS)) for seed in range(1, 61)]
    assert all(finding.text.startswith("crack: ") for each in found for finding in each)
    assert sum(any(finding.fine is False for finding in each) for each in found) <= 3


def test_of_few_or_uneven_lines_nothing_is_said():
    assert loss([]).fine is None
    assert loss(lines(-1.0, count=5)).fine is None
    assert loss(lines(0.0, noise=3.0)).fine is None
    assert loss(lines(0.0)).fine is True
    assert loss([{"step": 5, "loss": 0.0}] * 50).fine is None


def test_pieces_holes_and_outline():
    ring = np.zeros((9, 9), bool)
    ring[2:7, 2:7] = True
    assert (pieces_of(ring), holes_of(ring), roughness_of(ring)) == (1, 0, 1)
    ring[4, 4] = False
    ring[0, 0] = True
    assert (pieces_of(ring), holes_of(ring)) == (2, 1)
    assert roughness_of(ring) > 1.2
    assert grain_of(np.full((3, 8, 8), 9.0)) == 0


def test_a_tail_of_the_binomial_distribution():
    assert binomial_tail(0, 32, 0.05) == pytest.approx(1)
    assert binomial_tail(2, 2, 0.05) == pytest.approx(0.0025)


def test_the_record_has_what_the_lines_have():
    found = verdict(tiles(32, 1, grain=0.5))
    record = found.as_record()
    assert (record["ready"], record["steps"], record["summary"]) == (False, 1000, "not ready (grain)")
    assert Verdict(1000, found.findings, found.advice).lines == found.lines
